"""Cron as Debian's cron 3.0pl1 keeps it: the instants at which an expression is due.

Pure. The rules are those of cron(8) and of the daemon's own loop, daylight saving included; `triggers.cron.fields`
reads the text. The extended syntax is kept by the same rules: see docs/schedules.md.
"""

from __future__ import annotations

import difflib
import zoneinfo
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from triggers.cron.fields import DEBIAN, CronFields, Syntax, read_fields
from triggers.errors import InvalidTrigger

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
# cron(8): "clock changes of more than 3 hours are considered to be corrections to the clock". The loop compares the
# new minute with the one before it, hence three hours forward already count and three hours back do not yet.
_CORRECTION = timedelta(hours=3)
_LAST_YEAR = 9998
# The calendar repeats itself after this many years, as long as none of them is 2100.
_CALENDAR_YEARS = range(2000, 2028)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A cron expression in a time zone. Make one with `parse`.

    `fields.wildcard`: minute or hour begins with `*`. Such a schedule follows the wall clock through a clock change;
    one at fixed times is due once, at once after a gap, and only the first time in a fold.
    `fields.both_days`: a day must fit day of month and day of week, because one of them begins with `*`; else either.
    `fields.has_seconds`: what a gap skips is not made up for, unless the day would otherwise be passed over.
    """

    text: str
    zone: zoneinfo.ZoneInfo
    fields: CronFields
    minutes_of_day: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, *, timezone: str = "UTC", syntax: Syntax = DEBIAN) -> CronExpression:
        """Read an expression or a nickname such as `@daily`. Raises `InvalidTrigger`."""
        fields = read_fields(text, syntax)
        made = cls(
            text=text,
            zone=read_zone(timezone),
            fields=fields,
            minutes_of_day=tuple(
                hour * 60 + minute for hour in sorted(fields.hours) for minute in sorted(fields.minutes)
            ),
        )
        if all(made._next_day(date(year - 1, 12, 31), year) is None for year in fields.years or _CALENDAR_YEARS):
            raise InvalidTrigger(
                f"cron {text!r}: never due, there is no such day. Choose a day the months have; for the last day of "
                "each month write L in the extended syntax: Cron(..., extended=True)."
            )
        return made

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant later than `instant`, in UTC. None outside the years 2 to 9998."""
        if self.fields.seconds == (0,):
            return self._minute_after(instant)
        minute = self._minute_after(instant - _MINUTE) if instant.year > 1 else None
        while minute is not None:
            for second in self.fields.seconds:
                if (due := minute + timedelta(seconds=second)) > instant:
                    return due
            minute = self._minute_after(minute)
        return None

    def _minute_after(self, instant: datetime) -> datetime | None:
        """The first due minute that begins later than `instant`."""
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
        if self._on(local.year, local.month, local.day):
            index = bisect_right(self.minutes_of_day, local.hour * 60 + local.minute)
            if index < len(self.minutes_of_day):
                return self._at(local, self.minutes_of_day[index])
        day = self._next_day(local)
        return None if day is None else self._at(day, self.minutes_of_day[0])

    @staticmethod
    def _at(day: date, minute_of_day: int) -> datetime:
        return datetime(day.year, day.month, day.day, minute_of_day // 60, minute_of_day % 60)  # noqa: DTZ001

    def _next_day(self, day: date, last_year: int = _LAST_YEAR) -> date | None:
        """The first day after `day` on which it runs."""
        year, month, after = day.year, day.month, day.day
        years = self.fields.years
        while year <= last_year and not (years and year > max(years)):
            if month in self.fields.months and (years is None or year in years):
                found = next((one for one in self._days_of(year, month) if one > after), None)
                if found is not None:
                    return date(year, month, found)
            year, month, after = (year, month + 1, 0) if month < 12 else (year + 1, 1, 0)
        return None

    def _on(self, year: int, month: int, day: int) -> bool:
        """Whether it runs on this day."""
        fields = self.fields
        if month not in fields.months or (fields.years is not None and year not in fields.years):
            return False
        return day in self._days_of(year, month)

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        return _days_of(self.fields, year, month)

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
            return (first, second) if self.fields.wildcard or before - after > _CORRECTION else (first,)
        if self.fields.wildcard or after - before >= _CORRECTION or self._runs_anyway(local):
            return ()
        change = self._change_between(second, first)
        return () if change is None else (change,)

    def _runs_anyway(self, local: datetime) -> bool:
        """With seconds, whether the day of a skipped minute has others that exist, so that nothing is made up for."""
        if not self.fields.has_seconds:
            return False
        times = (self._at(local, minute) for minute in self.minutes_of_day)
        return any(self._local(one.replace(tzinfo=self.zone).astimezone(UTC)) == one for one in times)

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


@lru_cache(maxsize=4096)
def _days_of(fields: CronFields, year: int, month: int) -> tuple[int, ...]:
    """The days of a month that fit both day fields or either, in order."""
    first, length = monthrange(year, month)
    days = fields.days | {one.in_month(year, month) for one in fields.special_days}
    weekdays = {one.in_month(year, month) for one in fields.special_weekdays}
    by_weekday = {day for day in range(1, length + 1) if (first + day) % 7 in fields.weekdays} | weekdays
    fitting = days & by_weekday if fields.both_days else days | by_weekday
    return tuple(day for day in range(1, length + 1) if day in fitting)


def read_zone(name: str) -> zoneinfo.ZoneInfo:
    """The IANA time zone called `name`. Raises `InvalidTrigger` with the nearest known name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Use an IANA name such as 'UTC' or 'Europe/Berlin'."
        raise InvalidTrigger(f"time zone {name!r} is not known. {hint}") from error
