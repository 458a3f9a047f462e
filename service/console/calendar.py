"""The ticks of a schedule in a month; where they are too many for a month, in a week, a day or an hour of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from service.shapes.backfills import TickShape
from triggers.schedule import Schedule, due_times

# The most ticks that are shown of each span, the widest first.
SPANS = (("month", 310), ("week", 350), ("day", 1440), ("hour", 1000))
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span of time from `begin` up to `end`, and the instants in it at which the schedule is due. `cut`: the first of
    them, because even of an hour there are too many.
    """

    span: str
    begin: datetime
    end: datetime
    due: Sequence[datetime]
    cut: bool


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
        if len(due) <= most or span == "hour":
            return Stretch(span, begin, end, due[:most], len(due) > most)
    raise AssertionError("an hour is always shown")


def _around(span: str, local: datetime) -> tuple[datetime, datetime]:
    """Where the span that holds a local time begins and ends, in UTC."""
    zone, day = local.tzinfo, local.date()
    if span == "hour":
        begin = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return begin, begin + timedelta(hours=1)
    if span == "month":
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day - timedelta(days=day.weekday()) if span == "week" else day
        after = first + timedelta(days=7 if span == "week" else 1)
    return tuple(datetime.combine(one, time.min, zone).astimezone(UTC) for one in (first, after))  # type: ignore[return-value]


def cells(found: Stretch, ticks: Sequence[TickShape], zone: ZoneInfo) -> list[Cell]:
    """Its days, each with its ticks; of a day the hours, of an hour the minutes that have any."""
    held: dict[datetime, list[TickShape]] = {begin: [] for begin in _days(found, zone)}
    for tick in ticks:
        held.setdefault(cell_of(found.span, tick["due_at"].astimezone(zone)), []).append(tick)
    shape = {"day": "%H:00", "hour": "%H:%M"}.get(found.span, "%a %d %b")
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
    return (fine if span == "hour" else fine.replace(minute=0)).astimezone(UTC)
