"""Cron as Debian's cron 3.0pl1 reads and keeps it: the expression, and the instants at which it is due.

Pure. The rules are those of crontab(5) and cron(8) and of the daemon's own loop, daylight saving included. What
Debian accepts and then never or only half obeys (ranges that run backwards, dates that do not exist, text behind a
field) is refused: see docs/decisions/0006-cron-is-debian-cron.md.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from triggers.errors import InvalidTrigger

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
# cron(8): "clock changes of more than 3 hours are considered to be corrections to the clock". The loop compares the
# new minute with the one before it, hence three hours forward already count and three hours back do not yet.
_CORRECTION = timedelta(hours=3)
_LAST_YEAR = 9998


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


def _named(names: str, first: int) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _named("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Field("day of week", 0, 7, _named("sun mon tue wed thu fri sat", 0)),
)
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
# Debian marks only the hour of @hourly as a wildcard; the others are fixed times.
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>[0-9a-z]{1,9})(?:-(?P<last>[0-9a-z]{1,9}))?)(?:/(?P<step>[0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A cron expression in a time zone. Make one with `parse`.

    `wildcard`: minute or hour begins with `*`. Such a schedule follows the wall clock through a clock change; one at
    fixed times is due once, at once after a gap, and only the first time in a fold.
    `both_days`: a day must fit day of month and day of week, because one of them begins with `*`; otherwise either.
    """

    text: str
    zone: zoneinfo.ZoneInfo
    minutes_of_day: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    wildcard: bool

    @classmethod
    def parse(cls, text: str, *, timezone: str = "UTC") -> CronExpression:
        """Read five fields or a nickname such as `@daily`. Raises `InvalidTrigger`."""
        parts = _split(text)
        minutes, hours, days, months, weekdays = (
            _read_field(text, kind, part) for kind, part in zip(_FIELDS, parts, strict=True)
        )
        both_days = parts[2].startswith("*") or parts[4].startswith("*")
        if both_days and all(min(days) > _LONGEST_MONTH.get(month, 31) for month in months):
            raise InvalidTrigger(
                f"cron {text!r}: never due, no month {parts[3]!r} has a day {parts[2]!r}. "
                "Choose a day the month has; the last day of a month cannot be said in cron."
            )
        return cls(
            text=text,
            zone=read_zone(timezone),
            minutes_of_day=tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)),
            days=days,
            months=months,
            weekdays=frozenset(weekday % 7 for weekday in weekdays),
            both_days=both_days,
            wildcard=parts[0].startswith("*") or parts[1].startswith("*"),
        )

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC. None outside the years 2 to 9998."""
        if not 1 < instant.year <= _LAST_YEAR:
            return None
        due = self._first(self._local(instant), instant)
        if due is None:
            return None
        change = self._change_between(instant, min(due, instant + _DAY))
        if change is None:
            return due
        # The clock is set back before that: a wall-clock minute already passed may come again, and sooner.
        again = self._first(self._local(change) - _MINUTE, change - _MINUTE)
        return due if again is None else min(due, again)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every due instant in (after, until], in order, in UTC."""
        due = self.next_after(after)
        while due is not None and due <= until:
            yield due
            due = self.next_after(due)

    def _first(self, local: datetime, after: datetime) -> datetime | None:
        """The first instant later than `after` of a matching wall-clock minute later than `local`."""
        following = self._next_local(local)
        while following is not None:
            for due in self._instants(following):
                if due > after:
                    return due
            following = self._next_local(following)
        return None

    def _next_local(self, local: datetime) -> datetime | None:
        if self._on(local.day, local.month, local.weekday()):
            index = bisect_right(self.minutes_of_day, local.hour * 60 + local.minute)
            if index < len(self.minutes_of_day):
                return self._at(local, self.minutes_of_day[index])
        day = self._next_day(local)
        return None if day is None else self._at(day, self.minutes_of_day[0])

    @staticmethod
    def _at(day: date, minute_of_day: int) -> datetime:
        return datetime(day.year, day.month, day.day, minute_of_day // 60, minute_of_day % 60)  # noqa: DTZ001

    def _next_day(self, day: date) -> date | None:
        year, month, first = day.year, day.month, day.day + 1
        while year <= _LAST_YEAR:
            if month in self.months:
                weekday, length = monthrange(year, month)
                for number in range(first, length + 1):
                    if self._on(number, month, (weekday + number - 1) % 7):
                        return date(year, month, number)
            year, month, first = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)
        return None

    def _on(self, day: int, month: int, weekday: int) -> bool:
        """Whether it runs on this day. `weekday` counts from Monday = 0, as Python does."""
        if month not in self.months:
            return False
        if self.both_days:
            return day in self.days and (weekday + 1) % 7 in self.weekdays
        return day in self.days or (weekday + 1) % 7 in self.weekdays

    def _instants(self, local: datetime) -> tuple[datetime, ...]:
        """When this wall-clock minute counts: mostly once, in a fold perhaps twice, in a gap at its end or never."""
        early, late = (local.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        before, after = early.utcoffset(), late.utcoffset()
        assert before is not None
        assert after is not None
        first, second = ((local - offset).replace(tzinfo=UTC) for offset in (before, after))
        if before == after:
            return (first,)
        if before > after:
            return (first, second) if self.wildcard or before - after > _CORRECTION else (first,)
        if self.wildcard or after - before >= _CORRECTION:
            return ()
        change = self._change_between(second, first)
        return () if change is None else (change,)

    def _change_between(self, after: datetime, until: datetime) -> datetime | None:
        """When the zone's offset changes in (after, until], rounded up to whole minutes since `after`; None if never.

        Bisects: right as long as at most one change lies between, and no zone has two within three days.
        """
        offset = self._offset(after)
        if self._offset(until) == offset:
            return None
        low, high = 0, -((after - until) // _MINUTE)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(after + middle * _MINUTE) == offset else (low, middle)
        return after + high * _MINUTE

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self.zone).utcoffset()


def _split(text: str) -> list[str]:
    """The five fields of an expression or of the nickname it is."""
    if text.startswith("@"):
        return _nickname(text).split()
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise InvalidTrigger(
            f"cron {text!r}: has {len(parts)} fields, cron has five: "
            "minute, hour, day of month, month, day of week; or write a nickname such as '@daily'."
        )
    return parts


def _nickname(text: str) -> str:
    if text == "@reboot":
        raise InvalidTrigger(
            "cron '@reboot': no instant is due, it runs when a machine starts. Use '@hourly' or five fields; "
            "to run once now, use `tidemill run`."
        )
    if text not in _NICKNAMES:
        raise InvalidTrigger(f"cron {text!r}: no such nickname. Known: {', '.join(_NICKNAMES)}.")
    return _NICKNAMES[text]


def _read_field(text: str, kind: _Field, part: str) -> frozenset[int]:
    """Every number a field allows: a list of numbers, names, ranges and steps."""
    try:
        return frozenset(number for item in part.lower().split(",") for number in _read_item(kind, item))
    except ValueError as error:
        allowed = f"{kind.low}-{kind.high}" + (f" or {', '.join(kind.names)}" if kind.names else "")
        raise InvalidTrigger(f"cron {text!r}: {kind.name} {part!r} (allowed: {allowed}): {error}") from None


def _read_item(kind: _Field, item: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"{item!r} is not one of *, a number, a range 1-5 or a step */2; lists take commas.")
    step = int(match["step"] or 1)
    if step == 0:
        raise ValueError(f"the step of {item!r} is zero. Write a step of 1 or more.")
    if match["all"]:
        return range(kind.low, kind.high + 1, step)
    first = _number(kind, match["first"])
    if match["last"] is None:
        if match["step"]:
            raise ValueError(f"{item!r} has a step without a range. Write {first}-{kind.high}/{step} or */{step}.")
        return range(first, first + 1)
    last = _number(kind, match["last"])
    if last < first:
        raise ValueError(f"{item!r} runs backwards. Write {first}-{kind.high},{kind.low}-{last}.")
    return range(first, last + 1, step)


def _number(kind: _Field, word: str) -> int:
    number = kind.names.get(word)
    if number is None:
        if not word.isdigit():
            names = difflib.get_close_matches(word, kind.names, n=1, cutoff=0.4)
            raise ValueError(f"{word!r} is neither a number nor a name." + (f" Write {names[0]!r}." if names else ""))
        number = int(word)
    if not kind.low <= number <= kind.high:
        raise ValueError(f"{number} is out of range.")
    return number


def read_zone(name: str) -> zoneinfo.ZoneInfo:
    """The IANA time zone called `name`. Raises `InvalidTrigger` with the nearest known name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Use an IANA name such as 'UTC' or 'Europe/Berlin'."
        raise InvalidTrigger(f"time zone {name!r} is not known. {hint}") from error
