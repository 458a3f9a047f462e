"""What a pipeline says of its runs as a whole: how long they may take, how many at once, what happens at their end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from stages.base import Stage
from stages.limits import Concurrency, Rate
from stages.problems import NAME

Hook = Literal["on_cancel", "on_failure", "finally_"]
MOST_PRIORITY = 100


class RunSettings(TypedDict, total=False):
    """What `Pipeline` may be told of its runs; the fields of `RunPolicy` say what is so otherwise."""

    tags: Sequence[str]
    timeout_s: float | None
    queue_timeout_s: float | None
    due_s: float | None
    max_running: int | None
    concurrency: Concurrency | None
    rate: Rate | None
    pool: str | None
    priority: int
    on_cancel: Stage | None
    on_failure: Stage | None
    finally_: Stage | None


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """How runs of a pipeline are treated. Times are in seconds; None: no bound.

    A run fails `timeout_s` after it first started, or when it has not started within `queue_timeout_s`; `due_s` after
    its event it is late, which is told and ends nothing. At most `max_running` run at once, those of one `concurrency`
    key by its policy, started no faster than `rate`, in a `pool` shared with other pipelines, higher `priority` (-100
    to 100) first. `on_failure` or `on_cancel`, and then `finally_`, run once at the end of a run that has begun.
    """

    tags: Sequence[str] = ()
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    due_s: float | None = None
    max_running: int | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    pool: str | None = None
    priority: int = 0
    on_cancel: Stage | None = None
    on_failure: Stage | None = None
    finally_: Stage | None = None

    @property
    def hooks(self) -> Mapping[Hook, Stage]:
        """The stages that run at the end, by when."""
        named: dict[Hook, Stage | None] = {
            "on_cancel": self.on_cancel,
            "on_failure": self.on_failure,
            "finally_": self.finally_,
        }
        return {when: hook for when, hook in named.items() if hook is not None}

    @property
    def limited(self) -> bool:
        """Whether a run may have to wait for other runs."""
        return any(one is not None for one in (self.max_running, self.concurrency, self.rate, self.pool))

    def problems(self) -> Iterator[str]:
        """What makes no sense in it."""
        for name in ("timeout_s", "queue_timeout_s", "due_s", "max_running"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield f"{name}={value}: it must be more than nothing"
        if abs(self.priority) > MOST_PRIORITY:
            yield f"priority={self.priority}: use -{MOST_PRIORITY} to {MOST_PRIORITY}"
        if self.pool is not None and not NAME.fullmatch(self.pool):
            yield f"pool={self.pool!r}: use letters, digits, _ and -, and start with a letter or _"
        if isinstance(self.tags, str) or not all(isinstance(tag, str) and tag for tag in self.tags):
            yield f"tags={self.tags!r}: give a list of words"
