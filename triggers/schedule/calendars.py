"""Calendars: the days a schedule leaves out, or the only ones it keeps.

Whatever says which days is read once, and must say the same on every daemon and every time: due times follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.schedule.icalendar import whole_days

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEARLY = re.compile(r"(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")
_LONGEST = timedelta(days=3660)

Rule = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class DaySet:
    """Days read from text: single ones, and those of every year as (month, day)."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def __contains__(self, day: date) -> bool:
        return day in self.dates or (day.month, day.day) in self.yearly

    @classmethod
    def read(cls, texts: Sequence[str | date]) -> DaySet:
        """`2026-12-25`, `12-25` (every year) and `2026-12-24/2027-01-01` (both included). Raises `InvalidTrigger`."""
        dates: set[date] = set()
        yearly: set[tuple[int, int]] = set()
        for text in texts:
            if isinstance(text, date):
                dates.add(date(text.year, text.month, text.day))
            elif match := _YEARLY.fullmatch(text):
                yearly.add(_day_of_year(text, int(match["month"]), int(match["day"])))
            else:
                dates.update(_span(text))
        return cls(frozenset(dates), frozenset(yearly))


@dataclass(frozen=True)
class Calendar(metaclass=Declared):
    """A set of days: a day is in it when `dates`, `weekdays`, `file` or `rule` says so.

    `dates` are dates, `"2026-12-25"`, `"12-25"` for every year, or `"2026-12-24/2027-01-01"` with both ends;
    `weekdays` such as `"sat"`; `file` holds such dates one a line (`#` begins a remark), or is an iCalendar file
    (`.ics`), read when it is first needed, its path relative to the daemon's root; `rule` is a function of a date that
    answers the same always and everywhere. Raises `InvalidTrigger`.
    """

    dates: Sequence[str | date] = ()
    weekdays: Sequence[str] = ()
    file: str | Path | None = None
    rule: Rule | None = None
    _days: DaySet = field(init=False, repr=False, compare=False)
    _numbers: frozenset[int] = field(init=False, repr=False, compare=False)
    _root: Path = field(init=False, repr=False, compare=False, default=Path())

    def __post_init__(self) -> None:
        if isinstance(self.dates, str) or isinstance(self.weekdays, str):
            raise InvalidTrigger("Calendar: dates and weekdays are lists. Write dates=['2026-12-25'].")
        if not (self.dates or self.weekdays or self.file or self.rule):
            raise InvalidTrigger("Calendar: it holds no day. Give it dates, weekdays, a file or a rule.")
        if self.rule is not None and not callable(self.rule):
            raise InvalidTrigger(f"Calendar: rule={self.rule!r} is no function. Give one that takes a date.")
        object.__setattr__(self, "_days", DaySet.read(self.dates))
        object.__setattr__(self, "_numbers", frozenset(map(_weekday, self.weekdays)))

    def __str__(self) -> str:
        """What it holds, the same in every process."""
        rule = self.rule and f"{getattr(self.rule, '__module__', '')}.{getattr(self.rule, '__qualname__', 'rule')}"
        parts = (*map(str, self.dates), *self.weekdays, self.file and str(self.file), rule)
        return ", ".join(part for part in parts if part)

    def look_in(self, root: Path) -> None:
        """Where a relative path starts from."""
        object.__setattr__(self, "_root", root)

    def has(self, day: date) -> bool:
        """Whether `day` is in it. Raises `InvalidTrigger` where the file cannot be read."""
        if day.weekday() in self._numbers or day in self._days:
            return True
        if self.file is not None and day in self._filed:
            return True
        return self.rule is not None and self.rule(day)

    @cached_property
    def _filed(self) -> DaySet:
        """The days of the file."""
        assert self.file is not None
        path = self._root / self.file
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidTrigger(f"Calendar: cannot read {str(path)!r}: {error}. Put the file there.") from error
        try:
            if path.suffix.lower() == ".ics":
                dates, yearly = whole_days(text)
                return DaySet(frozenset(dates), frozenset(yearly))
            lines = (line.partition("#")[0].strip() for line in text.splitlines())
            return DaySet.read([line for line in lines if line])
        except (InvalidTrigger, ValueError) as error:
            raise InvalidTrigger(f"Calendar: {str(path)!r}: {error}") from error


def _weekday(name: str) -> int:
    if name not in _WEEKDAYS:
        raise InvalidTrigger(f"Calendar: {name!r} is no weekday. Write one of {', '.join(_WEEKDAYS)}.")
    return _WEEKDAYS.index(name)


def _day_of_year(text: str, month: int, day: int) -> tuple[int, int]:
    try:
        date(2024, month, day)
    except ValueError as error:
        raise InvalidTrigger(f"Calendar: no year has the day {text!r} ({error}). Write month-day: 12-25.") from error
    return month, day


def _span(text: str) -> list[date]:
    first, slash, last = text.partition("/")
    try:
        start = date.fromisoformat(first.strip())
        end = date.fromisoformat(last.strip()) if slash else start
    except ValueError as error:
        raise InvalidTrigger(
            f"Calendar: {text!r} is no day ({error}). Write '2026-12-25', '12-25' for every year, or "
            "'2026-12-24/2027-01-01' for all from one to the other."
        ) from error
    if not timedelta(0) <= end - start <= _LONGEST:
        raise InvalidTrigger(f"Calendar: {text!r} runs backwards or over more than ten years.")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]
