"""The ticks of two schedules in one time: those that would be gone, and those that would be new. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from service.asking.shapes import TicksShape
from triggers.base import Binding
from triggers.event import FIRED_BY, Event
from triggers.missed import why_each
from triggers.schedule import Schedule, due_times, rfc3339, tick_source
from triggers.schedule.jitter import rung_at

MOST_LISTED = 1000
MOST_TICKS = 100_000
_INSTANT = timedelta(microseconds=1)


def due_from(trigger: Schedule, since: datetime, until: datetime) -> list[datetime]:
    """When it is due from `since` on and before `until`: the first 100,000."""
    return list(islice(due_times(trigger, since - _INSTANT, until - _INSTANT), MOST_TICKS))


@dataclass(slots=True)
class Due:
    """The ticks of the declared schedule and of the one that is tried, and which of these would still have to come.

    What is `new` is due in the second alone, from `began` on (when the trigger was first there) and by `now`.
    """

    before: Sequence[datetime]
    after: Sequence[datetime]
    new: deque[datetime] = field(default_factory=deque)

    @classmethod
    def of(cls, before: Iterable[datetime], after: Iterable[datetime], began: datetime | None, now: datetime) -> Due:
        """Both, in order."""
        was, would = sorted(before), sorted(after)
        known = set(was)
        new = deque(one for one in would if one not in known and one <= now and (began is None or one >= began))
        return cls(was, would, new)

    def by(self, binding: Binding, instant: datetime | None) -> Iterator[tuple[datetime, datetime]]:
        """The new ticks that are handed on by then (None: all), each with when: every one is told once."""
        while self.new:
            at = rung_at(binding, self.new[0])
            if instant is not None and at > instant:
                return
            yield self.new.popleft(), at

    def shape(self) -> TicksShape:
        """Both, side by side."""
        was, would = set(self.before), set(self.after)
        return {
            "before": len(was),
            "after": len(would),
            "gone": [rfc3339(one) for one in sorted(was - would)[:MOST_LISTED]],
            "new": [rfc3339(one) for one in sorted(would - was)[:MOST_LISTED]],
        }


def is_tick(binding: Binding, event: Event) -> bool:
    """Whether the clock made it for this schedule, and nobody fired it."""
    return event.source == tick_source(binding) and FIRED_BY not in event.extensions


def still_due(trigger: Schedule, instant: datetime) -> bool:
    """Whether a schedule is due at that very instant."""
    return trigger.next_after(instant - _INSTANT) == instant


def late_ticks(binding: Binding, events: Sequence[Event], at: datetime) -> list[str]:
    """Why ticks that were handed on together at `at` would be late, empty where one is not."""
    times = [rung_at(binding, one.time) for one in events]
    return why_each(times, at, binding.trigger.policy)
