"""Schedules: `Cron`, `QuartzCron` and `Every`. When they are due, and the event each tick is.

Pure; `ScheduleClock` keeps them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from triggers.base import Binding, Trigger
from triggers.cron import CronExpression, read_zone
from triggers.cron.fields import DEBIAN, EXTENDED, QUARTZ, Syntax
from triggers.errors import InvalidTrigger
from triggers.event import Event, utc_now
from triggers.missed import Missed, MissedPolicy
from triggers.route import SCHEDULE, Route
from triggers.schedule.calendars import Calendar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK_TYPE = "dev.tidemill.schedule.tick"

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}){unit})?" for unit in _UNITS))
_SHORTEST_S, _LONGEST_S, _DAY_S = 1.0, 366 * 86_400.0, 86_400.0
_LAST_YEAR = 9997
_FIRST_SPAN = timedelta(minutes=15)
_INSTANT = timedelta(microseconds=1)
# So many days on which it would be due may lie outside its calendars, before it counts as never due again.
_MOST_DAYS_LEFT_OUT = 10_000

Calendars = Calendar | Sequence[Calendar]


@dataclass(frozen=True, kw_only=True)
class Schedule(Trigger, ABC):
    """A trigger that is due at instants known in advance.

    `missed`, `max_age_s` and `max_burst` say which ticks run that were missed in downtime (see `MissedPolicy`).
    It is due from `start` to `end`, both included; never on a day of an `exclude` calendar; where `only` is given, only
    on days that are in one of those. A tick is handed on up to `jitter` (`"5m"`, or seconds) later than it is due, by a
    span that follows from its id; its due time stays what it is.
    """

    host: ClassVar[str | None] = "triggers.schedule.clock:ScheduleClock"

    judges_missed: ClassVar[bool] = True

    missed: Missed = "latest"
    max_burst: int | None = 100
    start: datetime | None = None
    end: datetime | None = None
    exclude: Calendars = ()
    only: Calendars = ()
    jitter: str | float = 0
    _jitter_s: float = field(init=False, repr=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start", "end"):
            object.__setattr__(self, name, _aware(getattr(self, name), f"{self.name}: {name}"))
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InvalidTrigger(f"{self.name}: end {self.end} lies before start {self.start}.")
        for name in ("exclude", "only"):
            object.__setattr__(self, name, _calendars(getattr(self, name), f"{self.name}: {name}"))
        object.__setattr__(self, "_jitter_s", _jitter_seconds(self.jitter, self.name))

    @property
    def policy(self) -> MissedPolicy:
        """What happens to ticks missed in downtime."""
        return MissedPolicy(self.missed, self.max_age_s, self.max_burst)

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears its own ticks."""
        mine = (route.kind, route.target) == (SCHEDULE, f"{pipeline}/{self.name}")
        return None if mine else "it hears the clock alone"

    @property
    @abstractmethod
    def zone(self) -> ZoneInfo:
        """Where its days begin and end."""

    @property
    def longest_delay(self) -> timedelta:
        """How much later than due a tick may be handed on."""
        return timedelta(seconds=self._jitter_s)

    @abstractmethod
    def due_after(self, instant: datetime) -> datetime | None:
        """The first instant later than `instant` that the expression or interval names, in UTC; None after the last."""

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC; None when there will be none."""
        if self.start is not None and instant < self.start:
            instant = self.start - _INSTANT
        for _ in range(_MOST_DAYS_LEFT_OUT):
            due = self.due_after(instant)
            if due is None or (self.end is not None and due > self.end):
                return None
            if not self.exclude and not self.only:
                return due
            day = due.astimezone(self.zone).date()
            if self._keeps(day):
                return due
            instant = _beginning(day + timedelta(days=1), self.zone) - _INSTANT
        return None

    def look_in(self, root: Path) -> None:
        """Where the relative paths of its calendars start from."""
        for calendar in (*several(self.exclude), *several(self.only)):
            calendar.look_in(root)

    def lacks(self, root: Path) -> Sequence[str]:
        """Calendars that cannot be read, and that it is never due again."""
        self.look_in(root)
        try:
            due = self.next_after(utc_now())
        except InvalidTrigger as error:
            return (str(error),)
        return () if due is not None else ("it is never due again: look at its end and calendars",)

    def _keeps(self, day: date) -> bool:
        if any(calendar.has(day) for calendar in several(self.exclude)):
            return False
        only = several(self.only)
        return not only or any(calendar.has(day) for calendar in only)


@dataclass(frozen=True)
class Cron(Schedule):
    """Due as Debian's cron would run it in `timezone`: `Cron("0 2 * * mon-fri", timezone="Europe/Berlin")`.

    A list of expressions is due whenever one of them is. `extended=True` marks the syntax with seconds, years, `L`,
    `W`, `#` and `?` (docs/schedules.md). Raises `InvalidTrigger`, which names the field.
    """

    kind: ClassVar[str] = "cron"

    expression: str | Sequence[str]
    timezone: str = "UTC"
    extended: bool = field(default=False, kw_only=True)
    _times: tuple[CronExpression, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.expressions:
            raise InvalidTrigger("Cron: no expression is given. Write such as '0 2 * * *'.")
        times = tuple(
            CronExpression.parse(one, timezone=self.timezone, syntax=self._syntax()) for one in self.expressions
        )
        object.__setattr__(self, "_times", times)
        super().__post_init__()

    @property
    def expressions(self) -> Sequence[str]:
        """All of them."""
        return (self.expression,) if isinstance(self.expression, str) else tuple(self.expression)

    @property
    def zone(self) -> ZoneInfo:
        """That of `timezone`."""
        return self._times[0].zone

    def _syntax(self) -> Syntax:
        return EXTENDED if self.extended else DEBIAN

    def default_name(self) -> str:
        """Such as `cron:0 2 * * *`; a zone other than UTC is part of it."""
        zone = "" if self.timezone == "UTC" else f" {self.timezone}"
        return f"cron:{', '.join(' '.join(one.split()) for one in self.expressions)}{zone}"

    def due_after(self, instant: datetime) -> datetime | None:
        """See `Schedule`. None outside the years 2 to 9998."""
        if len(self._times) == 1:
            return self._times[0].next_after(instant)
        return min((due for one in self._times if (due := one.next_after(instant)) is not None), default=None)


@dataclass(frozen=True)
class QuartzCron(Cron):
    """Cron as Quartz writes it: seconds first, weekdays from 1 = Sunday to 7, `?` in the day field that is open.

    Kept as `Cron(..., extended=True)` is, clock changes included. Raises `InvalidTrigger`, which names the field.
    """

    def _syntax(self) -> Syntax:
        return QUARTZ

    def default_name(self) -> str:
        """Such as `quartz:0 0 2 ? * 2#1`."""
        return super().default_name().replace("cron:", "quartz:", 1)


@dataclass(frozen=True)
class Every(Schedule):
    """Due every `interval` (`"15m"`, `"1h30m"`, or seconds), counted from `anchor`: the same instants everywhere.

    Days and weeks are 24 and 168 hours of UTC, whatever a local clock does. With `anchor="midnight"` it counts anew
    from each midnight of `timezone`, which is also where the days of calendars begin. Raises `InvalidTrigger`.
    """

    kind: ClassVar[str] = "every"

    interval: str | float
    anchor: datetime | Literal["midnight"] = EPOCH
    timezone: str = field(default="UTC", kw_only=True)
    _step: timedelta = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_step", timedelta(seconds=interval_seconds(self.interval)))
        object.__setattr__(self, "_zone", read_zone(self.timezone))
        if self.anchor == "midnight":
            if self._step >= timedelta(seconds=_DAY_S):
                raise InvalidTrigger(
                    f"Every: {self.interval!r} from midnight is no shorter than a day. Use Cron('@daily')."
                )
        else:
            # In a zone with clock changes, adding to an instant would add wall-clock time.
            object.__setattr__(self, "anchor", _aware(self.anchor, "Every: anchor"))
        super().__post_init__()
        if self._jitter_s >= self._step.total_seconds():
            raise InvalidTrigger(f"{self.name}: jitter {self.jitter!r} is not shorter than the interval.")

    @property
    def zone(self) -> ZoneInfo:
        """That of `timezone`."""
        return self._zone

    def default_name(self) -> str:
        """Such as `every:15m`; an anchor other than the epoch is part of it."""
        start = "" if self.anchor == EPOCH else f" from {_say_anchor(self.anchor, self.timezone)}"
        return f"every:{_say(self._step.total_seconds())}{start}"

    def due_after(self, instant: datetime) -> datetime | None:
        """See `Schedule`; also before the anchor. None past the year 9997."""
        if instant.year > _LAST_YEAR:
            return None
        if isinstance(self.anchor, datetime):
            return self.anchor + ((instant - self.anchor) // self._step + 1) * self._step
        day = instant.astimezone(self._zone).date()
        while True:
            midnight, following = _beginning(day, self._zone), _beginning(day + timedelta(days=1), self._zone)
            due = midnight + max((instant - midnight) // self._step + 1, 0) * self._step
            if due < following:
                return due
            day += timedelta(days=1)


def _beginning(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day. Where its midnight does not exist, the zone's older offset leads to the gap's end."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _aware(instant: object, what: str) -> datetime | None:
    if instant is None:
        return None
    if not isinstance(instant, datetime):
        raise InvalidTrigger(f"{what} {instant!r} is no datetime. Write such as datetime(2026, 1, 1, tzinfo=UTC).")
    if instant.tzinfo is None:
        raise InvalidTrigger(f"{what} {instant} has no time zone. Give it one: tzinfo=UTC.")
    return instant.astimezone(UTC)


def several(calendars: Calendars) -> Sequence[Calendar]:
    """One or more calendars as a list."""
    return (calendars,) if isinstance(calendars, Calendar) else calendars


def _calendars(given: object, what: str) -> Sequence[Calendar]:
    several = (given,) if isinstance(given, Calendar) else given
    if not isinstance(several, (list, tuple)) or not all(isinstance(one, Calendar) for one in several):
        raise InvalidTrigger(f"{what} takes a Calendar or a list of them, not {given!r}.")
    return tuple(several)


def _jitter_seconds(jitter: str | float, name: str) -> float:
    if jitter == 0:
        return 0.0
    try:
        seconds = interval_seconds(jitter)
    except InvalidTrigger as error:
        raise InvalidTrigger(f"{name}: jitter: {error}") from None
    if seconds > _DAY_S:
        raise InvalidTrigger(f"{name}: jitter {jitter!r} is out of range. Choose a day at most.")
    return seconds


def _say_anchor(anchor: datetime | str, timezone: str) -> str:
    if isinstance(anchor, datetime):
        return rfc3339(anchor)
    return anchor if timezone == "UTC" else f"{anchor} {timezone}"


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
        source=tick_source(binding),
        id=due,
        type=TICK_TYPE,
        time=due_at,
        data={"due_at": due, "schedule": binding.trigger.default_name()},
        datacontenttype="application/json",
    )


def tick_source(binding: Binding) -> str:
    """The CloudEvents source of a schedule's ticks."""
    return f"tidemill:schedule/{quote(binding.name)}"


def rfc3339(instant: datetime) -> str:
    """An instant in UTC as RFC 3339 text with `Z`; a fraction of a second only where there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
