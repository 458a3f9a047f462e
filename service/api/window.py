"""Which part of a long list is looked at: between two times, and never more of it at once than is quick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from service.api.problems import Problem
from service.api.years import in_reach
from service.db.parts import Parts

TIMES = {
    "since": "only from this time on: a day (UTC), or a time with its zone",
    "until": "only up to the end of this day (UTC), or before this time",
}

T = TypeVar("T")
Place = Callable[[datetime | None], Awaitable[tuple[int, int]]]
# What there is from a place up to another, so much at most; and where to look on behind a full page.
Find = Callable[[int | None, int | None, int], Awaitable[tuple[list[T], int | None]]]


@dataclass(frozen=True, slots=True)
class Window:
    """From the place `first` up to `before`. `searches`: no index finds what is wanted of that."""

    first: int | None
    before: int | None
    searches: bool

    async def page(self, limit: int, find: Find[T]) -> tuple[list[T], int | None]:
        """What there is, and where to look on: behind a full page or what was looked through; None at the end."""
        if not self.searches:
            return await find(self.first, self.before, limit)
        found: list[T] = []
        least, before, parts = max(self.first or 1, 1), self.before or 1, Parts()
        while True:
            first = max(before - parts.size, least)
            rows, further = await find(first, before, limit - len(found))
            found += rows
            if further is not None or first == least:
                return found, further
            if not parts.go_on():
                return found, first
            before = first


async def window(asked: Mapping[str, str], before: int | None, place: Place, *, searches: bool) -> Window:
    """What to look at of the time `since` to `until` below `before`. Raises 422."""
    since, until = moment(asked, "since"), moment(asked, "until")
    least = None if since is None else (await place(since))[0]
    if until is not None:
        end = (await place(until))[0]
        before = end if before is None else min(before, end)
    if before is None and searches:
        before = (await place(None))[1]
    return Window(least, before, searches)


def moment(asked: Mapping[str, str], name: str) -> datetime | None:
    """A time in a query; of a day its beginning in UTC, for `until` its end. Raises 422."""
    given = asked.get(name)
    if not given:
        return None
    try:
        found = datetime.combine(date.fromisoformat(given), time.min, UTC)
    except ValueError:
        return instant(given, name, "a day, as 2026-01-31, or a time with its zone: 2026-01-31T02:00:00Z")
    return _near(found, given, name) + timedelta(days=name == "until")


def instant(given: str, name: str, expected: str = "a time with its zone, such as 2026-11-27T02:00:00Z") -> datetime:
    """A time with its zone in a query. Raises 422."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Problem(422, f"{name}={given[:80]!r}: expected {expected}")
    return _near(found, given, name)


def _near(found: datetime, given: str, name: str) -> datetime:
    try:
        return in_reach(found)
    except ValueError as error:
        raise Problem(422, f"{name}={given[:80]!r}: {error}") from None
