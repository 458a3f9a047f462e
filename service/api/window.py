"""Which part of a long list is looked at: between two times, and never more of it at once than is quick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from service.api.problems import Problem
from service.db.views import AT_ONCE

TIMES = {
    "since": "only from this time on: a day (UTC), or a time with its zone",
    "until": "only up to the end of this day (UTC), or before this time",
}

Place = Callable[[datetime | None], Awaitable[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Window:
    """From the place `first` up to `before`. `begins`: what was asked for begins there, too."""

    first: int | None
    before: int | None
    begins: bool

    def further(self, following: int | None) -> int | None:
        """Where to look on: behind a full page, else behind what was looked through; None at the end."""
        return following if following is not None or self.begins else self.first


async def window(asked: Mapping[str, str], before: int | None, place: Place, *, searches: bool) -> Window:
    """What to look at of the time `since` to `until` below `before`; all of it, unless one `searches` without an index.

    Raises 422.
    """
    since, until = moment(asked, "since"), moment(asked, "until")
    least = None if since is None else (await place(since))[0]
    if until is not None:
        end = (await place(until))[0]
        before = end if before is None else min(before, end)
    if not searches:
        return Window(least, before, begins=True)
    if before is None:
        before = (await place(None))[1]
    first = max(before - AT_ONCE, least or 0, 0)
    return Window(first, before, begins=first <= max(least or 0, 1))


def moment(asked: Mapping[str, str], name: str) -> datetime | None:
    """A time in a query; of a day its beginning in UTC, for `until` its end. Raises 422."""
    given = asked.get(name)
    if not given:
        return None
    try:
        found = datetime.combine(date.fromisoformat(given), time.min, UTC) + timedelta(days=name == "until")
    except (ValueError, OverflowError):
        found = _instant(given, name)
    return found


def _instant(given: str, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Problem(
            422, f"{name}={given[:80]!r}: expected a day, as 2026-01-31, or a time with its zone: 2026-01-31T02:00:00Z"
        )
    return found
