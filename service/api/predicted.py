"""Counts predictions in memory and writes the counts now and then: a prediction waits for no commit.

A crash loses the counts of its last second. Predictions are answers and no events: nothing is run again for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import uuid4

from service.callers import Caller
from service.db.predictions import MOST_LATEST, Counted, PutPredictions
from service.db.writer import Writer
from triggers.base import Clock

EVERY_S = 1.0
MOST_NAME = 200
Place = tuple[str, int, date, str]


@dataclass(slots=True)
class _Count:
    first_at: datetime
    last_at: datetime
    answered: int = 0
    latest: deque[datetime] = field(default_factory=lambda: deque(maxlen=MOST_LATEST))


class Predicted:
    """What this process has answered since it began, by version, day and caller."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._teller = uuid4()
        self._counts: dict[Place, _Count] = {}
        self._unwritten: set[Place] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, model: str, version: int, caller: Caller) -> None:
        """A version has answered somebody."""
        now = self._clock.now()
        place = (model, version, now.date(), _named(caller))
        count = self._counts.setdefault(place, _Count(now, now))
        count.answered += 1
        count.last_at = max(now, count.last_at)
        count.latest.append(now)
        self._unwritten.add(place)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self.write)

    def write(self) -> None:
        """Hand what is new to the writer, and forget the days that are over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unwritten:
            self._writer.later(PutPredictions([self._counted(place) for place in self._unwritten]))
            self._unwritten.clear()
        today = self._clock.now().date()
        self._counts = {place: count for place, count in self._counts.items() if place[2] >= today}

    def _counted(self, place: Place) -> Counted:
        model, version, day, caller = place
        count = self._counts[place]
        latest = tuple(count.latest)
        return Counted(
            *(model, version, day, caller, self._teller), count.answered, count.first_at, count.last_at, latest
        )


def _named(caller: Caller) -> str:
    return (caller.name or caller.via.value)[:MOST_NAME].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
