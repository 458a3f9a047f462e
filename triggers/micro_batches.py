"""What all micro-batches have in common: how large they are, what order they keep, whose records they hold, when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from triggers.base import Trigger
from triggers.errors import InvalidTrigger
from triggers.numbers import is_number, is_whole
from triggers.ranges import Bad

Mode = Literal["parallel", "ordered"]
Start = Literal["earliest", "latest"]

_LONGEST_S = 366 * 86_400.0
_MOST_BYTES = 1024**3


@dataclass(frozen=True, kw_only=True)
class MicroBatches(Trigger):
    """Up to `max_records` records of one partition (or shard) are one event, which says where they are.

    A batch is closed when it is full, when it holds about `max_bytes`, or when its first record has waited
    `max_wait_s`. Each record is in exactly one batch. `where` and `params` see the batch's event, not its records.
    `start` says where a partition is begun that was never read before.

    With `mode="ordered"` the next batch of a partition starts only after the one before it has succeeded. `by` (`"key"`
    or a path such as `"data.customer"`) makes one batch for each key among the records that are closed together, in an
    order of its own. `event_time` (`"timestamp"`, or a path) is what the batch's watermark is made of: the latest time
    seen in the partition, less `lateness_s`; times that are more than `ahead_s` ahead of the clock here are wrong, and
    count for nothing. `bad` is what becomes of values that are no JSON objects, where a stage
    wants rows: the run fails, they are skipped, or each is kept as a dead event. Raises `InvalidTrigger`.
    """

    gathers: ClassVar[bool] = True

    max_records: int = 1000
    max_wait_s: float = 5.0
    max_bytes: int = 16 * 1024 * 1024
    start: Start = "earliest"
    mode: Mode = "parallel"
    by: str | None = None
    event_time: str = "timestamp"
    lateness_s: float = 0.0
    ahead_s: float = 3600.0
    bad: Bad = "fail"

    @property
    def looks_inside(self) -> bool:
        """Whether the values of records are read before their batch is accepted."""
        return self.by not in (None, "key") or self.event_time != "timestamp" or self.bad == "dead"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("max_records", 1, 1_000_000)
        self._whole("max_bytes", 1, _MOST_BYTES)
        self._seconds("max_wait_s", 0.001)
        self._seconds("lateness_s", 0.0)
        self._seconds("ahead_s", 0.0)
        self._one_of("start", get_args(Start))
        self._one_of("mode", get_args(Mode))
        self._one_of("bad", get_args(Bad))
        self._path("by", "key", may_be_none=True)
        self._path("event_time", "timestamp")
        if self.mode == "ordered" and self.rate_limit is not None:
            raise InvalidTrigger(
                f"{self.name}: rate_limit drops batches, and mode='ordered' promises each in its turn: limit the "
                f"pipeline's rate instead (Pipeline(rate=...)), which makes them wait"
            )

    def _whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not is_whole(value, least, most):
            raise InvalidTrigger(f"{self.name}: {name}={value!r}: give a whole number from {least} to {most}")

    def _seconds(self, name: str, least: float) -> None:
        value = getattr(self, name)
        if not is_number(value, least, _LONGEST_S):
            raise InvalidTrigger(f"{self.name}: {name}={value!r}: give seconds, from {least:g} to {_LONGEST_S:.0f}")

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise InvalidTrigger(f"{self.name}: {name}={value!r}: give {' or '.join(map(repr, known))}")

    def _path(self, name: str, word: str, *, may_be_none: bool = False) -> None:
        value = getattr(self, name)
        if value == word or (value is None and may_be_none):
            return
        if not (isinstance(value, str) and value.startswith("data.") and all(value.split("."))):
            raise InvalidTrigger(f"{self.name}: {name}={value!r}: give {word!r}, or a path such as 'data.customer'")
