"""What Debian's cron 3.0pl1 would run, minute by minute: an oracle that shares no code with `triggers.cron`.

It walks its loop over every minute of a year as the daemon wakes in them: the wall clock in minutes, the virtual clock
that follows it, and the four answers to a difference between the two (cron(8), section NOTES).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

NICKNAMES = {"@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@hourly": "0 * * * *"}
NAMES = {
    name: str(number % 12 + 1 if number < 12 else number - 12)
    for number, name in enumerate(
        [
            "jan",
            "feb",
            "mar",
            "apr",
            "may",
            "jun",
            "jul",
            "aug",
            "sep",
            "oct",
            "nov",
            "dec",
            "sun",
            "mon",
            "tue",
            "wed",
            "thu",
            "fri",
            "sat",
        ]
    )
}
CORRECTION = 3 * 60
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Line:
    """One crontab line: the wall-clock minutes since 1970 at which it matches, and whether minute or hour is a `*`."""

    text: str
    minutes: frozenset[int]
    wild: bool


def numbers(field: str, low: int, high: int) -> set[int]:
    """What a field allows."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
        first, last = NAMES.get(first, first), NAMES.get(last, last)
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def read(text: str, first: date, last: date) -> Line:
    """A line, with its matches on every wall-clock day from `first` to `last`."""
    minute, hour, day, month, weekday = NICKNAMES.get(text, text).split()
    of_day = [60 * h + m for h in numbers(hour, 0, 23) for m in numbers(minute, 0, 59)]
    days, months = numbers(day, 1, 31), numbers(month, 1, 12)
    weekdays = {number % 7 for number in numbers(weekday, 0, 7)}
    matches: set[int] = set()
    for number in range((last - first).days + 1):
        at = first + timedelta(days=number)
        fits = at.day in days, at.isoweekday() % 7 in weekdays
        star = day.startswith("*") or weekday.startswith("*")
        if at.month in months and (all(fits) if star else any(fits)):
            matches.update((at - EPOCH).days * 1440 + minute for minute in of_day)
    wild = minute.startswith("*") or hour.startswith("*")
    return Line(text, frozenset(matches), wild)


def wall_clock(zone: ZoneInfo, start: datetime, end: datetime, step: int) -> Iterator[tuple[int, int]]:
    """Each minute in (start, end], as UTC and as the wall clock tells it, both in minutes since 1970.

    The zone is asked every `step` minutes: it changes its clock at none between.
    """
    first, last = int(start.timestamp()) // 60, int(end.timestamp()) // 60
    for asked in range(first - first % step, last + 1, step):
        offset = datetime.fromtimestamp(asked * 60, UTC).astimezone(zone).utcoffset()
        assert offset is not None
        ahead = int(offset.total_seconds()) // 60
        for minute in range(asked, asked + step):
            if first < minute <= last:
                yield minute, minute + ahead


def runs(
    texts: Sequence[str], zone: ZoneInfo, start: datetime, end: datetime, step: int = 15
) -> dict[str, list[datetime]]:
    """When each line runs in (start, end], as instants; twice in one minute is once. `step`: see `wall_clock`."""
    day = timedelta(days=2)
    lines = [read(text, (start - day).date(), (end + day).date()) for text in texts]
    due: dict[int, list[Line]] = {}
    for line in lines:
        for minute in line.minutes:
            due.setdefault(minute, []).append(line)
    found: dict[str, dict[int, None]] = {text: {} for text in texts}
    for minute, now, then, wild, fixed in _wakes(wall_clock(zone, start, end, step)):
        for local in range(now, then + 1):
            for line in due.get(local, ()):
                if wild if line.wild else fixed:
                    found[line.text][minute] = None
    return {text: [datetime.fromtimestamp(one * 60, UTC) for one in minutes] for text, minutes in found.items()}


def _wakes(minutes: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int, int, bool, bool]]:
    """At which UTC minute, which wall-clock minutes (from, to), and whether their wildcard and fixed lines run."""
    virtual: int | None = None
    for minute, clock in minutes:
        ahead = 1 if virtual is None else clock - virtual
        if ahead == 1:
            virtual = clock
            yield minute, clock, clock, True, True
        elif -CORRECTION < ahead <= 0:  # set back: wildcards run on, fixed times wait until it has caught up
            yield minute, clock, clock, True, False
        elif 1 < ahead <= 5:
            yield minute, clock - ahead + 1, clock, True, True
            virtual = clock
        elif 5 < ahead <= CORRECTION:  # set forward: fixed times that were skipped run now
            yield minute, clock, clock, True, False
            yield minute, clock - ahead + 1, clock, False, True
            virtual = clock
        else:
            virtual = clock
            yield minute, clock, clock, True, True
