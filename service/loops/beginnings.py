"""Tells when an attempt has the place it waited for and its function is called: not before is it under way."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

from service.db.stage_logs import Place, place_of
from service.db.writer import Writer
from service.loops.records import Attempt
from service.model import AttemptState
from stages.call import Call

SOON_S = 0.005
"""What has ended so soon is written once, with its ending."""


class Beginnings:
    """Writes of each attempt that it is running, unless it ends at once. All but `began` is called on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: Writer) -> None:
        self._loop = loop
        self._writer = writer
        self._thread = threading.get_ident()
        self._under_way: dict[Place, Attempt] = {}
        self._begun: list[tuple[Place, Attempt]] = []
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, call: Call, attempt: Attempt) -> None:
        """Hear of an attempt from now on."""
        self._under_way[place_of(call)] = attempt

    def over(self, call: Call) -> None:
        """It has ended: a row that says it is running is not written any more."""
        attempt = self._under_way.pop(place_of(call), None)
        if attempt is not None and attempt.running is not None:
            attempt.running.dropped = True

    def interrupted(self, call: Call) -> None:
        """This process stops in the middle of it: whoever goes on with its run shall know."""
        self._write()
        self._under_way.pop(place_of(call), None)

    def began(self, call: Call) -> None:
        """The attempt's function is called now. From any thread."""
        if not self._under_way:
            return
        place = place_of(call)
        if threading.get_ident() == self._thread:
            self._began(place)
            return
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._began, place)

    def _began(self, place: Place) -> None:
        attempt = self._under_way.get(place)
        if attempt is None:
            return
        attempt.started = time.monotonic()
        self._begun.append((place, attempt))
        if self._timer is None:
            self._timer = self._loop.call_later(SOON_S, self._write)

    def _write(self) -> None:
        """Write of those that have not ended meanwhile that they are running."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        begun, self._begun = self._begun, []
        for place, attempt in begun:
            if self._under_way.get(place) is attempt and attempt.running is None:
                attempt.running = attempt.row(AttemptState.RUNNING)
                self._writer.later(attempt.running)
