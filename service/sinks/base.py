"""What a sink is: somebody outside who is told what the run log tells.

Another sink is one more class with `name` and `deliver`, made in `service.sinks.make`; `service.loops.relay` does the
rest: it reads the log in commit order from the sink's own durable position, tries again with backoff what fails, and
moves the position only over what was delivered. So everything is delivered at least once, in order, and a sink that is
slow or broken falls behind by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.db.rows import Row
from service.db.sinks import LogEntry
from service.errors import ServiceError
from service.model import RunState

_OF_PARTS = frozenset({"stage", "gate", "model"})
_RUN_MOVES = frozenset({state.value for state in RunState} | {"late"})


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many things were told, and how many the other side will not have, however often they are sent."""

    sent: int = 0
    refused: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(self.sent + other.sent, self.refused + other.refused)


class SinkTrouble(ServiceError):
    """The other side takes nothing now. The first `past` of the given entries need not be given again: `done`."""

    transient = True

    def __init__(
        self, message: str, *, past: int = 0, done: Delivered | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.past = past
        self.done = done or Delivered()
        self.retry_after_s = retry_after_s


class Facts(Protocol):
    """What is known of runs now."""

    async def runs(self, run_ids: Sequence[int]) -> Mapping[int, Row]:
        """Rows of `service/db/sql/sink_runs.sql`, by id. Raises `DatabaseUnavailable`."""


class Sink(Protocol):
    """One reader of the run log. `name` is the key of its position: another name begins anew."""

    name: str

    async def deliver(self, entries: Sequence[LogEntry], facts: Facts) -> Delivered:
        """Tell the other side, in order. Must be harmless to repeat. Raises `SinkTrouble`."""

    async def close(self) -> None:
        """Let go of connections. `deliver` may be called again."""


def run_moves(entries: Sequence[LogEntry]) -> list[tuple[int, LogEntry]]:
    """Those entries that tell where a run as a whole went, with their places in `entries`."""
    return [(index, one) for index, one in enumerate(entries) if is_run_move(one.told)]


def is_run_move(told: Mapping[str, Any]) -> bool:
    """Whether an entry tells where a run went."""
    return "run" in told and told.get("move") in _RUN_MOVES and not _OF_PARTS & told.keys()
