"""Keeps a listener going: one that dies of an error nobody expected is made anew, after a while, and says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from stages.outcome import ErrorRecord, Failed, guarded
from triggers.base import Clock, Listener, ListenerState, TriggerStatus

logger = logging.getLogger("tidemill.triggers")

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# One that has run for so long was well: its next death is its first again.
WELL_S = 300.0
SHOWN = 200


class Supervised:
    """A listener that starts again. What it had heard and not handed over is heard again: nothing was acknowledged.

    It is made anew each time, so that nothing of what killed it is left. `make` may raise, but not the first time.
    """

    def __init__(self, make: Callable[[], Listener], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._listener = make()
        self._lags = Lags(clock)
        self._deaths = 0
        self._note = ""
        self._died = ""
        self.restarts = 0

    async def run(self) -> None:
        """Listen until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            died = await guarded(self._listen())
            if not isinstance(died, Failed):
                return
            self._deaths = 1 if loop.time() - began_s >= WELL_S else self._deaths + 1
            wait_s = min(FIRST_WAIT_S * 2 ** min(self._deaths - 1, 16), LONGEST_WAIT_S)
            self._say(died.error, wait_s)
            await self._clock.sleep(wait_s)

    def statuses(self) -> Sequence[TriggerStatus]:
        """What the listener says, with how long what waits has waited; while it is down or starts again, why.

        Only what starts for the first time says so: its daemon has never heard by it. One that starts again takes
        nothing from what the others of its daemon can do.
        """
        told = [self._late(one) for one in self._listener.statuses()]
        if self._note:
            return [replace(one, state=ListenerState.RETRYING, note=self._note) for one in told]
        if not self._died:
            return told
        again = f"it stopped ({self._died}) and is starting again"
        return [
            replace(one, state=ListenerState.RETRYING, note=one.note or again)
            if one.state is ListenerState.STARTING
            else one
            for one in told
        ]

    def _late(self, status: TriggerStatus) -> TriggerStatus:
        lag_s = self._lags.of(status)
        return status if lag_s == status.lag_s else replace(status, lag_s=lag_s)

    async def _listen(self) -> None:
        if self.restarts:
            self._listener = self._make()
        self._note = ""
        try:
            await self._listener.run()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    def _say(self, error: ErrorRecord, wait_s: float) -> None:
        self.restarts += 1
        what = f"{error.type.rpartition('.')[2]}: {error.message}"[:SHOWN]
        self._died = what
        self._note = f"it stopped ({what}) and starts again within {wait_s:g} s; {self._deaths} times in a row so far"
        names = ", ".join(one.binding for one in self._listener.statuses())
        logger.error("what listens for %s stopped, and starts again in %g s: %s", names, wait_s, error.traceback)


class Lags:
    """How long what waits has waited, at most: since nothing waited, and since what was read last was written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clear_at: dict[str, datetime] = {}

    def of(self, status: TriggerStatus) -> float | None:
        """In seconds; None where nobody knows what waits."""
        now = self._clock.now()
        if status.lag_records is None:
            return None if status.next_due_at is None else max((now - status.next_due_at).total_seconds(), 0.0)
        clear_at = self._clear_at.setdefault(status.binding, now)
        if status.lag_records == 0:
            self._clear_at[status.binding] = now
            return 0.0
        since = clear_at if status.read_until is None else max(clear_at, status.read_until)
        return max((now - since).total_seconds(), 0.0)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is none itself: what the others were cancelled for."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
