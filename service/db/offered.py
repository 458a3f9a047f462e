"""What is given to be accepted: events, the runs they would start, and the fates of those that start none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from service.cause import Cause
from service.limits import UNLIMITED, RunLimits
from triggers.admission import Terms
from triggers.base import Fate
from triggers.event import EventKey

# An event in a pipeline.
Place = tuple[EventKey, str]


@dataclass(slots=True)
class EventRow:
    """An event as it is stored; `envelope` is its structured JSON."""

    key: EventKey
    source: str
    id: str
    type: str
    subject: str | None
    occurred_at: datetime
    envelope: bytes


@dataclass(slots=True)
class RunRow:
    """A run to be started. With `take` the accepting process drives it at once, without a claim.

    It fails when it has not started within `queue_timeout_s`, and is late after `due_at`. `cleans`: it has stages that
    run at its end, also when it is cancelled. `terms` are those of its trigger, if any; `pausable`: it is not started
    while the trigger is paused. Where it is not started, `otherwise` is what another trigger makes of the same event.
    Of one `sequence` it waits for those before it (see `service.db.order`).
    """

    event_key: EventKey
    pipeline: str
    version: str
    trigger: str
    params: bytes
    priority: int
    take: bool
    limits: RunLimits = UNLIMITED
    tags: Sequence[str] = ()
    due_at: datetime | None = None
    queue_timeout_s: float | None = None
    cleans: bool = False
    cause: Cause | None = None
    sequence: str | None = None
    terms: Terms | None = None
    pausable: bool = True
    otherwise: RunRow | FateRow | None = None

    @property
    def place(self) -> Place:
        """What no other run shares."""
        return (self.event_key, self.pipeline)

    @property
    def depth(self) -> int:
        """How many causes lie behind it."""
        return 0 if self.cause is None else self.cause.depth

    @property
    def takeable(self) -> bool:
        """Whether the accepting process may drive it at once."""
        waits = self.limits.limited or self.sequence is not None or self.otherwise is not None
        return not waits and (self.terms is None or self.terms.coalesce is None)

    @property
    def plain(self) -> bool:
        """Whether it starts if its event is new, whatever else there is."""
        crowded = self.limits.concurrency is not None and self.limits.key is not None
        return self.sequence is None and self.terms is None and self.otherwise is None and not crowded

    def alternatives(self) -> Iterator[RunRow | FateRow]:
        """It, and what to make of the event where it is not started, in turn."""
        one: RunRow | FateRow | None = self
        while one is not None:
            yield one
            one = one.otherwise if isinstance(one, RunRow) else None


@dataclass(frozen=True, slots=True)
class FateRow:
    """Why an event starts no run in a pipeline; `pause` is the one that holds it back."""

    event_key: EventKey
    pipeline: str
    trigger: str
    fate: Fate
    reason: str
    pause: int | None = None


def event_columns(row: EventRow) -> tuple[Any, ...]:
    """An event as `given_event`."""
    return (row.key, row.source, row.id, row.type, row.subject, row.occurred_at, row.envelope)


def run_columns(row: RunRow, daemon: int) -> tuple[Any, ...]:
    """A run as `given_run`; `daemon` is who takes it, if it is taken."""
    cause, limits = row.cause, row.limits
    return (
        *(row.event_key, row.pipeline, row.version, row.trigger, row.params, row.priority),
        daemon if row.take else None,
        *(orjson.dumps(list(row.tags)).decode(), row.due_at, row.queue_timeout_s, row.cleans),
        *((cause.run, cause.stage) if cause else (None, None)),
        row.depth,
        *(limits.limited, limits.key, limits.rate_key, limits.pool),
    )


def fate_columns(row: FateRow) -> tuple[Any, ...]:
    """A fate as `given_fate`."""
    return (row.event_key, row.pipeline, row.trigger, row.fate, row.reason)
