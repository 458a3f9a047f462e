"""Coalescing: how several events come to share one run. Pure; the inbox and the simulation of it ask the same policy.

A run is opened by its first event and gathers until it is due. Once it is due it may start, and until it has started
further events still join it; they put it off no more.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.numbers import is_number, is_whole

# What one run may hold: all of its events are given to its stages.
MOST_EVENTS = 10_000
_LONGEST_S = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Gathering:
    """A run that takes events: when its first came, when it may start, how many it holds, and whether it is full."""

    opened_at: datetime
    due_at: datetime
    events: int = 1
    full: bool = False


class Coalesce(metaclass=Declared):
    """When a run that gathers may start, and when it takes no more.

    Only events that lead to the same text at `key`, a path into the event, share a run; without a key all do.
    """

    key: str | None
    # Whether its runs are for all of their events alike, and not for the newest.
    takes_all: ClassVar[bool] = False

    @abstractmethod
    def opens(self, now: datetime) -> Gathering:
        """The run of a first event."""

    @abstractmethod
    def joins(self, gathering: Gathering, now: datetime) -> Gathering:
        """The same run with one event more. Only for one that is not full."""

    @abstractmethod
    def tells(self) -> str:
        """How it gathers, for people."""

    def _check(self, what: str) -> None:
        if self.key is not None and not (isinstance(self.key, str) and all(self.key.split("."))):
            raise InvalidTrigger(f"{what}: key={self.key!r} is no path into the event, such as data.customer")


@dataclass(frozen=True)
class Batch(Coalesce):
    """One run for up to `max_events` events; it starts when it is full, and `max_wait_s` after its first at the latest.

    Events that give the run other parameters go to a run of their own. Raises `InvalidTrigger`.
    """

    takes_all: ClassVar[bool] = True

    max_events: int
    max_wait_s: float
    key: str | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.max_events, 2, MOST_EVENTS):
            raise InvalidTrigger(f"Batch: max_events={self.max_events!r}: give a whole number from 2 to {MOST_EVENTS}")
        _check_seconds("Batch", "max_wait_s", self.max_wait_s)
        self._check("Batch")

    def opens(self, now: datetime) -> Gathering:
        """It waits for others from now on."""
        return Gathering(now, now + timedelta(seconds=self.max_wait_s))

    def joins(self, gathering: Gathering, now: datetime) -> Gathering:
        """The last one that fits makes it due."""
        events = gathering.events + 1
        if events < self.max_events:
            return replace(gathering, events=events)
        return replace(gathering, events=events, full=True, due_at=min(gathering.due_at, now))

    def tells(self) -> str:
        """Such as `in batches of up to 100, after 60 s at the latest`."""
        return f"in batches of up to {self.max_events}, after {self.max_wait_s:g} s at the latest"


@dataclass(frozen=True)
class Latest(Coalesce):
    """One run for a flurry of events: it starts when nothing came for `quiet_s`, after `max_wait_s` at the latest.

    Its parameters are those of the newest event. Raises `InvalidTrigger`.
    """

    quiet_s: float
    max_wait_s: float
    key: str | None = None

    def __post_init__(self) -> None:
        _check_seconds("Latest", "quiet_s", self.quiet_s)
        _check_seconds("Latest", "max_wait_s", self.max_wait_s)
        if self.max_wait_s < self.quiet_s:
            raise InvalidTrigger(
                f"Latest: max_wait_s={self.max_wait_s!r} is shorter than quiet_s={self.quiet_s!r}: give as much or more"
            )
        self._check("Latest")

    def opens(self, now: datetime) -> Gathering:
        """It waits for quiet from now on."""
        return Gathering(now, now + timedelta(seconds=self.quiet_s))

    def joins(self, gathering: Gathering, now: datetime) -> Gathering:
        """Quiet begins anew, unless the run is due already."""
        events = gathering.events + 1
        due_at = gathering.due_at
        if due_at > now:
            latest = gathering.opened_at + timedelta(seconds=self.max_wait_s)
            due_at = max(due_at, min(latest, now + timedelta(seconds=self.quiet_s)))
        if events < MOST_EVENTS:
            return replace(gathering, events=events, due_at=due_at)
        return replace(gathering, events=events, due_at=min(due_at, now), full=True)

    def tells(self) -> str:
        """Such as `until nothing came for 10 s, for 60 s at the most`."""
        return f"until nothing came for {self.quiet_s:g} s, for {self.max_wait_s:g} s at the most"


def _check_seconds(what: str, name: str, value: object) -> None:
    if not is_number(value, 0.001, _LONGEST_S):
        raise InvalidTrigger(f"{what}: {name}={value!r}: give seconds, from 0.001 to {_LONGEST_S:.0f}")
