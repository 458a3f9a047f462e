"""Reads the whole days of an iCalendar file (RFC 5545), as calendars of holidays are published. Pure.

Whole-day events, single or yearly. Anything that cannot be kept exactly is an error rather than passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

_DAY = re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})")
_MOST_DAYS = 3660

Properties = dict[str, list[tuple[str, str]]]


def whole_days(text: str) -> tuple[set[date], set[tuple[int, int]]]:
    """The days of all events that are not cancelled, and those of every year as (month, day). Raises ValueError."""
    dates: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for event in _events(text):
        if any(value == "CANCELLED" for _, value in event.get("STATUS", ())):
            continue
        days = _days_of(event)
        rules = event.get("RRULE", ())
        if not rules:
            dates.update(days)
        for _, rule in rules:
            repeated = _repeated(days, rule)
            if repeated is None:
                yearly.update((day.month, day.day) for day in days)
            else:
                dates.update(repeated)
    return dates, yearly


def _events(text: str) -> Iterator[Properties]:
    """The properties of each VEVENT, with the parameters they came with."""
    event: Properties | None = None
    inner = 0
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        name, _, value = line.partition(":")
        name, _, parameters = name.upper().partition(";")
        kind = value.strip().upper()
        if name == "BEGIN" and kind == "VEVENT":
            event = {}
        elif name == "END" and kind == "VEVENT" and event is not None:
            yield event
            event = None
        elif name in ("BEGIN", "END"):
            inner += 1 if name == "BEGIN" else -1
        elif event is not None and inner <= 1:
            event.setdefault(name, []).append((parameters, value.strip()))


def _days_of(event: Properties) -> list[date]:
    if "DTSTART" not in event:
        raise ValueError("an event has no DTSTART.")
    for name in ("RDATE", "EXDATE", "DURATION"):
        if name in event:
            raise ValueError(
                f"the event at {event['DTSTART'][0][1]} has {name}, which is not understood: list the days."
            )
    start = _day(event["DTSTART"][0][1])
    end = _day(event["DTEND"][0][1]) if "DTEND" in event else start + timedelta(days=1)
    if not 1 <= (end - start).days <= _MOST_DAYS:
        raise ValueError(f"the event at {start} ends before it begins, or is longer than ten years.")
    return [start + timedelta(days=number) for number in range((end - start).days)]


def _day(value: str) -> date:
    match = _DAY.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no whole day: only events of whole days (VALUE=DATE) are understood.")
    return date(int(match["year"]), int(match["month"]), int(match["day"]))


def _repeated(days: list[date], rule: str) -> list[date] | None:
    """The days of a yearly rule with an end; None where it has none, and they are those of every year."""
    parts = dict(part.split("=", 1) for part in rule.upper().split(";") if "=" in part)
    fixed = {"BYMONTH": str(days[0].month), "BYMONTHDAY": str(days[0].day), "INTERVAL": "1", "WKST": parts.get("WKST")}
    known = {"FREQ", "COUNT", "UNTIL", *fixed}
    if parts.get("FREQ") != "YEARLY" or parts.keys() - known or any(parts.get(k, v) != v for k, v in fixed.items()):
        raise ValueError(f"the rule {rule!r} is not understood: only FREQ=YEARLY is, on the event's own day.")
    if "COUNT" in parts:
        years = range(days[0].year, days[0].year + int(parts["COUNT"]))
        last = date.max
    elif "UNTIL" in parts:
        last = _day(parts["UNTIL"][:8])
        years = range(days[0].year, last.year + 1)
    else:
        return None
    shifted = [(day, year + day.year - days[0].year) for year in years for day in days]
    return [day.replace(year=year) for day, year in shifted if _exists(day, year) and day.replace(year=year) <= last]


def _exists(day: date, year: int) -> bool:
    return (day.month, day.day) != (2, 29) or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
