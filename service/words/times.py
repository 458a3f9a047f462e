"""Instants and durations in the words a terminal shows."""

from __future__ import annotations

from datetime import datetime

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
NOW_S = 1.0


def instant(text: str) -> datetime:
    """An instant as the API writes it (RFC 3339)."""
    return datetime.fromisoformat(text)


def when(at: datetime, now: datetime) -> str:
    """Local time and how far that is from `now`: `14:02:11 (3 min ago)`."""
    return f"{local(at, now)} ({distance(at, now)})"


def local(at: datetime, now: datetime) -> str:
    """Local time, as short as it can be told: with the day where that is not today's, the year where not this one's."""
    here, today = at.astimezone(), now.astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M:%S}"
    return f"{here:%d %b %H:%M}" if here.year == today.year else f"{here:%d %b %Y %H:%M}"


def distance(at: datetime, now: datetime) -> str:
    """`3 min ago`, `in 5 min`, `now`."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < NOW_S:
        return "now"
    told = _largest(abs(seconds))
    return f"in {told}" if seconds > 0 else f"{told} ago"


def lasted(seconds: float) -> str:
    """A duration to two units: `31 ms`, `2.5 s`, `12.4 s`, `4 min 5 s`, `3 d`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        told = f"{seconds:.2f}" if seconds < 9.995 else f"{seconds:.1f}"
        return f"{told.rstrip('0').rstrip('.')} s"
    whole = round(seconds)
    for (size, unit), (smaller, under) in zip(UNITS, (*UNITS[1:], (1, "s")), strict=True):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {under}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def _largest(seconds: float) -> str:
    for size, unit in UNITS:
        if round(seconds) >= size:
            return f"{int(round(seconds) // size)} {unit}"
    return f"{round(seconds)} s"
