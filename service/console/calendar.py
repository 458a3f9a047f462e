"""The ticks of a schedule in a month; where they are too many, in a week, a day, an hour or ten minutes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from service.shapes.backfills import TickShape
from triggers.schedule import Schedule, due_times

# The most ticks that are shown of each span, the widest first.
SPANS = (("month", 310), ("week", 350), ("day", 1440), ("hour", 1000), ("minutes", 1000))
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span of time from `begin` up to `end`, and the instants in it at which the schedule is due."""

    span: str
    begin: datetime
    end: datetime
    due: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Cell:
    """A day, hour or minute of it, in the zone of the schedule."""

    name: str
    begin: datetime
    ticks: Sequence[TickShape]


def stretch(trigger: Schedule, at: datetime) -> Stretch:
    """The widest span around an instant whose ticks can be shown."""
    for span, most in SPANS:
        begin, end = _around(span, at.astimezone(trigger.zone))
        due = list(islice(due_times(trigger, begin - _INSTANT, end - _INSTANT), most + 1))
        if len(due) <= most:
            return Stretch(span, begin, end, due)
    raise AssertionError("nothing is due more often than every second")


def _around(span: str, local: datetime) -> tuple[datetime, datetime]:
    """Where the span that holds a local time begins and ends, in UTC."""
    zone, day = local.tzinfo, local.date()
    if span in ("hour", "minutes"):
        minute, lasts = (0, 60) if span == "hour" else (local.minute // 10 * 10, 10)
        begin = local.replace(minute=minute, second=0, microsecond=0).astimezone(UTC)
        return begin, begin + timedelta(minutes=lasts)
    if span == "month":
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day - timedelta(days=day.weekday()) if span == "week" else day
        after = first + timedelta(days=7 if span == "week" else 1)
    return tuple(datetime.combine(one, time.min, zone).astimezone(UTC) for one in (first, after))  # type: ignore[return-value]


def cells(found: Stretch, ticks: Sequence[TickShape], zone: ZoneInfo) -> list[Cell]:
    """Its days, each with its ticks; of a day the hours, of less the minutes that have any."""
    held: dict[datetime, list[TickShape]] = {begin: [] for begin in _days(found, zone)}
    for tick in ticks:
        held.setdefault(cell_of(found.span, tick["due_at"].astimezone(zone)), []).append(tick)
    shape = {"day": "%H:00", "hour": "%H:%M", "minutes": "%H:%M"}.get(found.span, "%a %d %b")
    return [Cell(begin.astimezone(zone).strftime(shape), begin, inside) for begin, inside in held.items()]


def _days(found: Stretch, zone: ZoneInfo) -> Iterator[datetime]:
    if found.span in ("month", "week"):
        day = found.begin.astimezone(zone).date()
        while (begin := datetime.combine(day, time.min, zone).astimezone(UTC)) < found.end:
            yield begin
            day += timedelta(days=1)


def cell_of(span: str, local: datetime) -> datetime:
    """Where the day, hour or minute of a span begins that holds a local time."""
    if span in ("month", "week"):
        return datetime.combine(local.date(), time.min, local.tzinfo).astimezone(UTC)
    fine = local.replace(second=0, microsecond=0)
    return (fine.replace(minute=0) if span == "day" else fine).astimezone(UTC)
