"""Schedules: `Cron` and `Every`. When they are due, and the event each tick is. Pure; `ScheduleClock` keeps them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import quote

from triggers.base import Binding, Trigger
from triggers.cron import CronExpression
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.missed import Missed, MissedPolicy
from triggers.route import SCHEDULE, Route

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK_TYPE = "dev.tidemill.schedule.tick"

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}){unit})?" for unit in _UNITS))
_SHORTEST_S, _LONGEST_S = 1.0, 366 * 86_400.0
_LAST_YEAR = 9997
_FIRST_SPAN = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Schedule(Trigger, ABC):
    """A trigger that is due at instants known in advance.

    `missed`, `max_age_s` and `max_burst` say which ticks run that were missed in downtime (see `MissedPolicy`).
    """

    host: ClassVar[str | None] = "triggers.schedule_clock:ScheduleClock"

    judges_missed: ClassVar[bool] = True

    missed: Missed = "latest"
    max_burst: int | None = 100

    @property
    def policy(self) -> MissedPolicy:
        """What happens to ticks missed in downtime."""
        return MissedPolicy(self.missed, self.max_age_s, self.max_burst)

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears its own ticks."""
        mine = (route.kind, route.target) == (SCHEDULE, f"{pipeline}/{self.name}")
        return None if mine else "it hears the clock alone"

    @abstractmethod
    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC; None when there will be none."""


@dataclass(frozen=True)
class Cron(Schedule):
    """Due as Debian's cron would run it in `timezone`: `Cron("0 2 * * mon-fri", timezone="Europe/Berlin")`.

    Raises `InvalidTrigger`, which names the field.
    """

    kind: ClassVar[str] = "cron"

    expression: str
    timezone: str = "UTC"
    _times: CronExpression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_times", CronExpression.parse(self.expression, timezone=self.timezone))
        super().__post_init__()

    def default_name(self) -> str:
        """Such as `cron:0 2 * * *`; a zone other than UTC is part of it."""
        zone = "" if self.timezone == "UTC" else f" {self.timezone}"
        return f"cron:{' '.join(self.expression.split())}{zone}"

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC. None outside the years 2 to 9998."""
        return self._times.next_after(instant)


@dataclass(frozen=True)
class Every(Schedule):
    """Due every `interval` (`"15m"`, `"1h30m"`, or seconds), counted from `anchor`: the same instants everywhere.

    Days and weeks are 24 and 168 hours of UTC, whatever a local clock does. Raises `InvalidTrigger`.
    """

    kind: ClassVar[str] = "every"

    interval: str | float
    anchor: datetime = EPOCH
    _step: timedelta = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.anchor.tzinfo is None:
            raise InvalidTrigger(f"Every: anchor {self.anchor} has no time zone. Give it one: tzinfo=UTC.")
        # In a zone with clock changes, adding to an instant would add wall-clock time.
        object.__setattr__(self, "anchor", self.anchor.astimezone(UTC))
        object.__setattr__(self, "_step", timedelta(seconds=interval_seconds(self.interval)))
        super().__post_init__()

    def default_name(self) -> str:
        """Such as `every:15m`; an anchor other than the epoch is part of it."""
        start = "" if self.anchor == EPOCH else f" from {rfc3339(self.anchor)}"
        return f"every:{_say(self._step.total_seconds())}{start}"

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC; also before the anchor. None past the year 9997."""
        if instant.year > _LAST_YEAR:
            return None
        return self.anchor + ((instant - self.anchor) // self._step + 1) * self._step


def interval_seconds(interval: str | float) -> float:
    """Seconds of `90`, `"15m"` or `"1h30m"` (units w d h m s, in this order). Raises `InvalidTrigger`."""
    match = _DURATION.fullmatch(interval) if isinstance(interval, str) else None
    if match is not None:
        seconds = float(sum(int(match[unit] or 0) * size for unit, size in _UNITS.items()))
    elif isinstance(interval, (int, float)):
        seconds = float(interval)
    else:
        raise InvalidTrigger(
            f"Every: {interval!r} is not an interval. Write seconds, or such as '30s', '15m', '1h30m'."
        )
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise InvalidTrigger(f"Every: {interval!r} is out of range. Choose between a second and 366 days.")
    return seconds


def _say(seconds: float) -> str:
    if seconds % 1:
        return f"{seconds:.6f}".rstrip("0") + "s"
    parts, rest = [], int(seconds)
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def due_times(trigger: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant in (after, until] at which `trigger` is due, in order, in UTC. Pure: nothing is fired."""
    due = trigger.next_after(after)
    while due is not None and due <= until:
        yield due
        due = trigger.next_after(due)


def newest_due(trigger: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The newest `limit` instants in (after, until], oldest first. Its cost grows with `limit`, not with the window."""
    span = _FIRST_SPAN
    while until - span > after:
        found = list(due_times(trigger, until - span, until))
        if len(found) >= limit:
            return found[-limit:]
        span *= 4
    return list(due_times(trigger, after, until))[-limit:]


def tick_event(binding: Binding, due_at: datetime) -> Event:
    """The event of one tick. Its identity is the binding and the instant it was due, so replicas make the same one."""
    due = rfc3339(due_at)
    return Event(
        source=f"tidemill:schedule/{quote(binding.name)}",
        id=due,
        type=TICK_TYPE,
        time=due_at,
        data={"due_at": due, "schedule": binding.trigger.default_name()},
        datacontenttype="application/json",
    )


def rfc3339(instant: datetime) -> str:
    """An instant in UTC as RFC 3339 text with `Z`; a fraction of a second only where there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
