"""Tells when an attempt has the place it waited for and its function is called: not before is it under way."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

from service.db.attempts import PutAttempt
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
        self._awaited: dict[Place, Attempt] = {}
        self._begun: dict[Place, Attempt] = {}
        self._written: dict[Place, PutAttempt] = {}
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, call: Call, attempt: Attempt) -> None:
        """Hear of an attempt from now on."""
        self._awaited[place_of(call)] = attempt

    def over(self, call: Call) -> None:
        """It has ended: a row that says it is running is not written any more."""
        place = place_of(call)
        self._awaited.pop(place, None)
        self._begun.pop(place, None)
        row = self._written.pop(place, None)
        if row is not None:
            row.dropped = True

    def interrupted(self, call: Call) -> None:
        """This process stops in the middle of it: whoever goes on with its run shall know."""
        place = place_of(call)
        self._awaited.pop(place, None)
        if place in self._begun:
            self._write()
        self._written.pop(place, None)

    def began(self, call: Call) -> None:
        """The attempt's function is called now. From any thread."""
        place = place_of(call)
        if threading.get_ident() == self._thread:
            self._began(place)
            return
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._began, place)

    def _began(self, place: Place) -> None:
        attempt = self._awaited.pop(place, None)
        if attempt is None:
            return
        attempt.started = time.monotonic()
        self._begun[place] = attempt
        if self._timer is None:
            self._timer = self._loop.call_later(SOON_S, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for place, attempt in self._begun.items():
            self._written[place] = row = attempt.row(AttemptState.RUNNING)
            self._writer.later(row)
        self._begun.clear()
