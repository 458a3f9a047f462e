"""What comparing a source with the inbox finds, and what is asked of the inbox for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from triggers.base import Arrival, Binding, Inbox, KafkaAccess
from triggers.event import Event, EventKey

# Of what is as it should be no more is listed one by one.
UNSIGNED = "its marker is missing, or its manifest does not describe it"
MOST_LISTED = 1000
REMOVED = "its event was removed since, as old as it is (retention)"
# The clocks of sources and ours may differ by this much.
_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Lack:
    """Something the source has and the inbox has no event of.

    `why` says how that may be; `expected`: it is as it should be, and no difference. `arrival` is what would make up
    for it, with the identity it would have had anyway.
    """

    what: str
    why: str
    arrival: Arrival | None = None
    expected: bool = False


@dataclass(slots=True)
class Reconciled:
    """What was compared, how many things of the source were looked at, and what stands beside it (`notes`).

    `waiting` counts what is not complete, and so has no event yet.
    """

    checked: int = 0
    lacks: list[Lack] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waiting: int = 0

    def lack(self, what: str, why: str, arrival: Arrival | None = None, *, expected: bool = False) -> None:
        """Note one; of those that are expected only so many."""
        if not expected or sum(one.expected for one in self.lacks) < MOST_LISTED:
            self.lacks.append(Lack(what, why, arrival, expected))

    def waits(self, what: str, why: str) -> None:
        """Note one that is not complete, and why."""
        self.waiting += 1
        self.lack(what, f"not complete: {why}", expected=True)

    def tell_waiting(self) -> None:
        """Say in the notes how many are not complete: nobody should take them for compared."""
        if self.waiting:
            self.notes.append(f"{self.waiting} not complete, and so without an event: --all names them")


class Known(Protocol):
    """What the inbox knows. Every call may raise what reading it raises."""

    async def keys(self, keys: Sequence[EventKey]) -> Set[EventKey]:
        """Those of `keys` of which there is an event."""

    async def reasons(self, keys: Sequence[EventKey], pipeline: str) -> Mapping[EventKey, str]:
        """The reasons of the fates of events in a pipeline, where they started no run."""

    async def began(self, binding: Binding) -> datetime | None:
        """When a version of the pipeline that has this trigger was first loaded."""

    async def events(self, source: str, after: datetime, until: datetime) -> Sequence[Event]:
        """Events of a source that were accepted in that time, in their order."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a comparison stands on. `after` and `until` bound it in time where the source has times.

    `removed_until` is when the newest event was accepted that retention has removed, None where it has removed none.
    """

    known: Known
    inbox: Inbox
    root: Path
    now: datetime
    after: datetime
    until: datetime
    kafka: KafkaAccess | None = None
    removed_until: datetime | None = None

    def may_be_removed(self, since: datetime) -> bool:
        """Whether retention can have removed the event of what is there since then: it was not accepted before."""
        return self.removed_until is not None and since - _SKEW <= self.removed_until
