"""Reads the text of a cron expression: which numbers each field allows, in each of the three ways to write one.

Pure. `DEBIAN` is crontab(5), less what Debian accepts and does not obey (docs/decisions/0006-cron-is-debian-cron.md).
`EXTENDED` and `QUARTZ` add seconds, years, `L`, `W`, `#` and `?`; docs/schedules.md says what they mean.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triggers.cron.days import NthWeekday, SpecialDay, read_month_day, split_weekday
from triggers.errors import InvalidTrigger


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


def _named(names: str, first: int) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, _named("jan feb mar apr may jun jul aug sep oct nov dec", 1))
_WEEKDAY = _Field("day of week", 0, 7, _named("sun mon tue wed thu fri sat", 0))
_QUARTZ_WEEKDAY = _Field("day of week", 1, 7, _named("sun mon tue wed thu fri sat", 1))
_YEAR = _Field("year", 1970, 2099)


@dataclass(frozen=True, slots=True)
class Syntax:
    """One way to write cron: how many fields may be given, how weekdays are numbered, whether it is extended."""

    name: str
    counts: Sequence[int]
    weekday: _Field
    extended: bool = True


DEBIAN = Syntax("cron", (5,), _WEEKDAY, extended=False)
EXTENDED = Syntax("extended cron", (5, 6, 7), _WEEKDAY)
QUARTZ = Syntax("Quartz cron", (6, 7), _QUARTZ_WEEKDAY)

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
# Looks as if the extended syntax was meant: an item of L, W, # or ? in a day field.
_EXTENSION = re.compile(r"\?|lw?|l-[0-9]+w?|[0-9]+w|[0-9a-z]+#[0-9]|(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)l")


@dataclass(frozen=True, slots=True)
class CronFields:
    """What each field allows. `weekdays` count from Sunday = 0; `years` None: every year.

    `seconds` are within each minute that is due; `has_seconds`: the text has a field of them. `wildcard`, `both_days`:
    see `triggers.cron.CronExpression`.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    wildcard: bool
    seconds: tuple[int, ...] = (0,)
    has_seconds: bool = False
    years: frozenset[int] | None = None
    special_days: tuple[SpecialDay, ...] = ()
    special_weekdays: tuple[SpecialDay, ...] = ()


def read_fields(text: str, syntax: Syntax) -> CronFields:
    """The fields of an expression or of the nickname it is. Raises `InvalidTrigger`, which names the field."""
    seconds, parts, year = _split(text, syntax)
    minute, hour, day, month, weekday = parts
    days, special_days = _read_days(text, _DAY, day, syntax)
    weekdays, special_weekdays = _read_days(text, syntax.weekday, weekday, syntax)
    offset = syntax.weekday.names["sun"]
    return CronFields(
        minutes=_read_field(text, _MINUTE, minute, syntax),
        hours=_read_field(text, _HOUR, hour, syntax),
        days=days,
        months=_read_field(text, _MONTH, month, syntax),
        weekdays=frozenset((number - offset) % 7 for number in weekdays),
        both_days=day.startswith(("*", "?")) or weekday.startswith(("*", "?")),
        wildcard=minute.startswith("*") or hour.startswith("*"),
        seconds=(0,) if seconds is None else tuple(sorted(_read_field(text, _SECOND, seconds, syntax))),
        has_seconds=seconds is not None,
        years=None if year is None or year == "*" else _read_field(text, _YEAR, year, syntax),
        special_days=special_days,
        special_weekdays=special_weekdays,
    )


def _split(text: str, syntax: Syntax) -> tuple[str | None, list[str], str | None]:
    """The seconds' field, the five fields of cron, and the years' field."""
    parts = (_nickname(text) if text.startswith("@") else text).split()
    if text.startswith("@"):
        return None, parts, None
    if len(parts) not in syntax.counts:
        raise InvalidTrigger(f"cron {text!r}: has {len(parts)} fields, {_WANTED[syntax.name]}")
    _check_question_marks(text, parts, syntax)
    if len(parts) == 5:
        return None, parts, None
    return parts[0], parts[1:6], parts[6] if len(parts) == 7 else None


_WANTED = {
    DEBIAN.name: (
        "cron has five: minute, hour, day of month, month, day of week; or write a nickname such as '@daily'. "
        "Seconds in front (and a year behind) need the extended syntax: Cron(..., extended=True)."
    ),
    EXTENDED.name: (
        "extended cron has five: minute, hour, day of month, month, day of week; six with seconds in front; "
        "seven with a year behind them."
    ),
    QUARTZ.name: (
        "Quartz has six: second, minute, hour, day of month, month, day of week; and may have a year behind them."
    ),
}


def _check_question_marks(text: str, parts: Sequence[str], syntax: Syntax) -> None:
    if not syntax.extended:
        return
    first = len(parts) > 5
    days = (parts[2 + first], parts[4 + first])
    marks = [part for part in parts if "?" in part]
    if any(part != "?" for part in marks) or len(marks) != days.count("?") or len(marks) > 1:
        raise InvalidTrigger(f"cron {text!r}: '?' stands alone, in one of day of month and day of week. Write * there.")
    if syntax is QUARTZ and not marks:
        raise InvalidTrigger(f"cron {text!r}: Quartz wants '?' for day of month or day of week: the one that is open.")


def _nickname(text: str) -> str:
    if text == "@reboot":
        raise InvalidTrigger(
            "cron '@reboot': no instant is due, it runs when a machine starts. Use '@hourly' or five fields; "
            "to run once now, use `tidemill run`."
        )
    if text not in _NICKNAMES:
        every = " For an interval, use Every('5m')." if text.startswith("@every") else ""
        raise InvalidTrigger(f"cron {text!r}: no such nickname. Known: {', '.join(_NICKNAMES)}.{every}")
    return _NICKNAMES[text]


def _read_days(text: str, kind: _Field, part: str, syntax: Syntax) -> tuple[frozenset[int], tuple[SpecialDay, ...]]:
    """The plain numbers of a day field, and the items that depend on the month."""
    if not syntax.extended:
        return _read_field(text, kind, part, syntax), ()
    if part == "?":
        return _read_field(text, kind, "*", syntax), ()
    plain: list[str] = []
    special: list[SpecialDay] = []
    for item in part.lower().split(","):
        try:
            found = read_month_day(item) if kind is _DAY else _special_weekday(kind, item, syntax)
        except ValueError as error:
            raise _wrong(text, kind, part, error) from None
        if found is None:
            plain.append(item)
        else:
            special.append(found)
    return _read_field(text, kind, ",".join(plain), syntax) if plain else frozenset(), tuple(special)


def _special_weekday(kind: _Field, item: str, syntax: Syntax) -> SpecialDay | None:
    if item == "l":
        if syntax is QUARTZ:
            return None
        raise ValueError("'L' alone does not say which day. Write 5L or friL for the last Friday, 6 for Saturdays.")
    found = split_weekday(item)
    if found is None:
        return None
    day, nth = found
    return NthWeekday((_number(kind, day) - kind.names["sun"]) % 7, nth)


def _read_field(text: str, kind: _Field, part: str, syntax: Syntax) -> frozenset[int]:
    """Every number a field allows: a list of numbers, names, ranges and steps."""
    try:
        items = part.lower().split(",")
        return frozenset(number for item in items for number in _read_item(kind, item, syntax))
    except ValueError as error:
        raise _wrong(text, kind, part, error) from None


def _wrong(text: str, kind: _Field, part: str, error: ValueError) -> InvalidTrigger:
    allowed = f"{kind.low}-{kind.high}" + (f" or {', '.join(kind.names)}" if kind.names else "")
    return InvalidTrigger(f"cron {text!r}: {kind.name} {part!r} (allowed: {allowed}): {error}")


def _read_item(kind: _Field, item: str, syntax: Syntax) -> Sequence[int]:
    if item == "l" and kind is _QUARTZ_WEEKDAY:
        return (kind.high,)
    match = _ITEM.fullmatch(item)
    if match is None or (not syntax.extended and _EXTENSION.fullmatch(item) and item not in kind.names):
        raise ValueError(_no_item(kind, item, syntax))
    step = int(match["step"] or 1)
    if step == 0:
        raise ValueError(f"the step of {item!r} is zero. Write a step of 1 or more.")
    if match["all"]:
        return range(kind.low, kind.high + 1, step)
    first = _number(kind, match["first"])
    if match["last"] is None:
        return _single(kind, item, first, step if match["step"] else None, syntax)
    last = _number(kind, match["last"])
    if last >= first:
        return range(first, last + 1, step)
    if not syntax.extended or kind is _YEAR:
        raise ValueError(f"{item!r} runs backwards. Write {first}-{kind.high},{kind.low}-{last}.")
    return _around(kind, first, last)[::step]


def _single(kind: _Field, item: str, first: int, step: int | None, syntax: Syntax) -> Sequence[int]:
    if step is None:
        return (first,)
    if not syntax.extended:
        raise ValueError(f"{item!r} has a step without a range. Write {first}-{kind.high}/{step} or */{step}.")
    return range(first, kind.high + 1, step)


def _around(kind: _Field, first: int, last: int) -> Sequence[int]:
    """A range over the end of its field, such as 22-2 or fri-mon; Sunday is counted once though it has two numbers."""
    high = kind.high - 1 if kind is _WEEKDAY and first < kind.high else kind.high
    low = kind.low + 1 if kind is _WEEKDAY and first == kind.high else kind.low
    return (*range(first, high + 1), *range(low, last + 1))


def _no_item(kind: _Field, item: str, syntax: Syntax) -> str:
    said = f"{item!r} is not one of *, a number, a range 1-5 or a step */2; lists take commas."
    if not syntax.extended and kind in (_DAY, _WEEKDAY) and _EXTENSION.fullmatch(item):
        return f"{said} L, W, # and ? need the extended syntax: Cron(..., extended=True)."
    return said


def _number(kind: _Field, word: str) -> int:
    number = kind.names.get(word)
    if number is None:
        if not word.isdigit():
            raise ValueError(f"{word!r} is neither a number nor a name.{_nearest_name(kind, word)}")
        number = int(word)
    if not kind.low <= number <= kind.high:
        raise ValueError(f"{number} is out of range.")
    return number


def _nearest_name(kind: _Field, word: str) -> str:
    if kind is _DAY and word == "last":
        return " Write 'L', in the extended syntax: Cron(..., extended=True)."
    if kind is _DAY and word.endswith("w"):
        return " W goes with one day, such as 15W; for Monday to Friday write mon-fri as day of week."
    if word in ("h", "r"):
        return " To spread runs over a while, write a number and give the trigger jitter='10m'."
    names = difflib.get_close_matches(word, kind.names, n=1, cutoff=0.4)
    return f" Write {names[0]!r}." if names else ""
