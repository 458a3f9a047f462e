"""Which part of a long list is looked at: between two days, and never more of it at once than is quick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from service.api.problems import Problem

# How many rows are looked through for what no index finds.
AT_ONCE = 20_000
TIMES = ("since", "until")

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
    """What to look at of the days `since` to `until` below `before`. Raises 422."""
    since, until = _day(asked, "since"), _day(asked, "until")
    least = None if since is None else (await place(since))[0]
    if until is not None:
        end = (await place(until + timedelta(days=1)))[0]
        before = end if before is None else min(before, end)
    if not searches:
        return Window(least, before, begins=True)
    if before is None:
        before = (await place(None))[1]
    first = max(before - AT_ONCE, least or 0, 0)
    return Window(first, before, begins=first <= max(least or 0, 1))


def _day(asked: Mapping[str, str], name: str) -> datetime | None:
    """The beginning of a day, in UTC. Raises 422."""
    if not asked[name]:
        return None
    try:
        return datetime.combine(date.fromisoformat(asked[name]), time.min, UTC)
    except ValueError:
        raise Problem(422, f"{name}={asked[name][:80]!r}: expected a day, as 2026-01-31") from None
