"""Backfills: a schedule's ticks of a stretch of time. Which they are, and the event and offer each makes. Pure.

A tick has one event, whether the clock or a backfill tells of it first, so it has one run. With `again` a backfill's
ticks are events of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from service.catalogue import Catalogue
from service.errors import Invalid, NotFound
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.event import Event
from triggers.handling import Handling
from triggers.match import matches, params_of
from triggers.schedule import Schedule, due_times, newest_due, rfc3339, several, tick_event

MOST_TICKS = 100_000
LOWEST_PRIORITY = -100
TAG = "backfill-"

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which ticks: those due from `from_at` to `to_at`, both included, oldest or newest first."""

    from_at: datetime
    to_at: datetime
    newest_first: bool = False

    def count(self, trigger: Schedule) -> int:
        """How many they are. Raises `Invalid` where they are too many."""
        ticks = due_times(trigger, self.from_at - _INSTANT, self.to_at)
        number = sum(1 for _ in islice(ticks, MOST_TICKS + 1))
        if number > MOST_TICKS:
            raise Invalid(f"there are more than {MOST_TICKS} ticks in this time: ask for less of it at once")
        return number

    def following(self, trigger: Schedule, reached_at: datetime | None, most: int) -> list[datetime]:
        """At most so many of them after the one that was reached, in order."""
        if self.newest_first:
            until = self.to_at if reached_at is None else reached_at - _INSTANT
            return newest_due(trigger, self.from_at - _INSTANT, until, most)[::-1]
        after = self.from_at - _INSTANT if reached_at is None else reached_at
        return list(islice(due_times(trigger, after, self.to_at), most))

    def batches(self, trigger: Schedule, most: int) -> Iterator[list[datetime]]:
        """All of them, in order, so many at once."""
        reached_at: datetime | None = None
        while ticks := self.following(trigger, reached_at, most):
            yield ticks
            reached_at = ticks[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A backfill that was asked for, as its ticks need it."""

    id: int
    binding: Binding
    again: bool
    priority: int

    def event(self, due_at: datetime) -> Event:
        """The event of one tick: the clock's own, with what says that it was backfilled."""
        event = tick_event(self.binding, due_at)
        data = {**event.data, "scheduled_at": rfc3339(due_at), "backfill": self.id}
        return replace(event, id=f"{event.id}/{TAG}{self.id}" if self.again else event.id, data=data)

    def arrival(self, due_at: datetime) -> Arrival:
        """The event and what the trigger makes of it: its filter and parameters, also where it is off or paused."""
        event, trigger = self.event(due_at), self.binding.trigger
        reason = matches(trigger.where, event)
        if reason is not None:
            return Arrival(event, [Offer(self.binding.pipeline, trigger.name, Fate.IGNORED, reason)])
        params = params_of(trigger.params, event)
        offer = Offer(
            self.binding.pipeline,
            trigger.name,
            params=params,
            tags=(f"{TAG}{self.id}",),
            priority=self.priority,
            handling=Handling(concurrency_key=trigger.concurrency_key),
            pausable=False,
        )
        return Arrival(event, [offer])


def first_of(given: datetime | str, zone: ZoneInfo) -> datetime:
    """Where a stretch begins that is said to be from an instant or a day on, in UTC. Raises `Invalid`."""
    return (given if isinstance(given, datetime) else _midnight(given, zone)).astimezone(UTC)


def last_of(given: datetime | str, zone: ZoneInfo, now: datetime) -> datetime:
    """Where it ends: a day counts to its end, today up to now. Raises `Invalid`."""
    if isinstance(given, datetime):
        return given.astimezone(UTC)
    begins = first_of(given, zone)
    ends = first_of((_midnight(given, zone).date() + timedelta(days=1)).isoformat(), zone) - _INSTANT
    return min(ends, now) if begins <= now else ends


def _midnight(day: str, zone: ZoneInfo) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(day), time.min, zone)
    except ValueError:
        raise Invalid(f"{day!r} is no day: write it as 2026-01-31") from None


def find_schedule(catalogue: Catalogue, name: str) -> Binding:
    """The schedule called `pipeline/trigger`, or the only one of a pipeline. Raises `NotFound`, `Invalid`."""
    named = {one.name: one for one in catalogue.bindings()}
    schedules = {full: one for full, one in named.items() if isinstance(one.trigger, Schedule)}
    if name in schedules:
        return schedules[name]
    if name in named:
        raise Invalid(f"{name} is no schedule: only schedules have ticks; there {_told(schedules)}")
    mine = [one for one in schedules.values() if name in (one.pipeline, one.trigger.name)]
    if len(mine) == 1:
        return mine[0]
    if mine:
        raise Invalid(f"{name!r} is several schedules: name one of {', '.join(one.name for one in mine)}")
    raise NotFound(f"no schedule is called {name[:200]!r}: there {_told(schedules)}")


def _told(schedules: Mapping[str, Binding]) -> str:
    return f"are {', '.join(sorted(schedules))}" if schedules else "is none"


def described(binding: Binding) -> str:
    """What a schedule says about when it is due: another text, other ticks."""
    trigger: Schedule = binding.trigger
    parts = (
        ("from", trigger.start and rfc3339(trigger.start)),
        ("until", trigger.end and rfc3339(trigger.end)),
        *(("except", str(calendar)) for calendar in several(trigger.exclude)),
        *(("only", str(calendar)) for calendar in several(trigger.only)),
        ("days of", trigger.zone.key if trigger.exclude or trigger.only else None),
    )
    return "; ".join([trigger.default_name(), *(f"{word} {value}" for word, value in parts if value)])
