"""The day items of extended cron that depend on the month: `L`, `W` and `#`. Pure.

The rules are those of Quartz's cron trigger, made precise where it is silent: an item that names a day the month does
not have (`31W` in June, `L-30` in February, a fifth Monday) names none in that month.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass

_SATURDAY, _SUNDAY = 5, 6
_DAY = re.compile(r"(?:l(?:-(?P<before>[0-9]{1,2}))?|(?P<day>[0-9]{1,2}))(?P<weekday>w)?")
_LAST, _NTH = re.compile(r"(?P<day>[0-9a-z]{1,9})l"), re.compile(r"(?P<day>[0-9a-z]{1,9})#(?P<nth>[0-9])")


@dataclass(frozen=True, slots=True)
class MonthDay:
    """Day `day` of a month, or the one `before` its last; with `nearest` the Monday to Friday next to it."""

    day: int = 0
    before: int = 0
    nearest: bool = False

    def in_month(self, year: int, month: int) -> int | None:
        """Its number, None where the month does not have it."""
        first, length = monthrange(year, month)
        day = self.day or length - self.before
        if not 1 <= day <= length:
            return None
        return _nearest(day, length, (first + day - 1) % 7) if self.nearest else day


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The `nth` of a weekday (0 is Sunday) in a month; 0: the last one."""

    weekday: int
    nth: int = 0

    def in_month(self, year: int, month: int) -> int | None:
        """Its number, None where the month has no `nth`."""
        first, length = monthrange(year, month)
        earliest = (self.weekday - 1 - first) % 7 + 1
        day = earliest + 7 * (self.nth - 1) if self.nth else earliest + (length - earliest) // 7 * 7
        return day if day <= length else None


SpecialDay = MonthDay | NthWeekday


def _nearest(day: int, length: int, weekday: int) -> int:
    """The nearest day from Monday to Friday that is in the same month."""
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def read_month_day(item: str) -> MonthDay | None:
    """`l`, `l-3`, `15w`, `lw` or `l-3w`; None where it is none of these. Raises ValueError."""
    match = _DAY.fullmatch(item)
    if match is None or (match["day"] and not match["weekday"]):
        return None
    day, before = int(match["day"] or 0), int(match["before"] or 0)
    if match["day"] and not 1 <= day <= 31:
        raise ValueError(f"{item!r}: {day} is out of range.")
    if match["before"] and not 1 <= before <= 30:
        raise ValueError(f"{item!r}: write L-1 to L-30.")
    return MonthDay(day, before, bool(match["weekday"]))


def split_weekday(item: str) -> tuple[str, int] | None:
    """The weekday of `5l` or `fri#2`, and which one of the month (0: the last); None where it is neither.

    Raises ValueError.
    """
    match = _NTH.fullmatch(item)
    if match is not None:
        nth = int(match["nth"])
        if not 1 <= nth <= 5:
            raise ValueError(f"{item!r}: a month has at most five of a weekday. Write #1 to #5.")
        return match["day"], nth
    match = _LAST.fullmatch(item)
    return None if match is None else (match["day"], 0)
