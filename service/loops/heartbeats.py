"""Stops an attempt that has given no sign of life for too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.db.stage_logs import Place, place_of
from service.errors import ServiceError
from stages.call import Call


class NoSign(ServiceError):
    """An attempt did not call `StageContext.progress` in time."""

    transient = True


class Heartbeats:
    """Knows which attempts are watched. All but `began` is called on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[Place, tuple[asyncio.Timeout, float]] = {}

    @asynccontextmanager
    async def watch(self, call: Call, heartbeat_s: float) -> AsyncIterator[None]:
        """Cancel the body and raise `NoSign` once nothing was heard for `heartbeat_s`.

        Time counts from `began`: an attempt may wait long for a thread or a worker.
        """
        place = place_of(call)
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._watched[place] = (scope, heartbeat_s)
                yield
        except TimeoutError:
            if scope.expired():
                raise NoSign(f"gave no sign for {heartbeat_s:g} s") from None
            raise
        finally:
            self._watched.pop(place, None)

    def began(self, call: Call) -> None:
        """The attempt's function is called now. From any thread."""
        if self._watched and place_of(call) in self._watched:
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self.heard, call)

    def heard(self, call: Call) -> None:
        """The attempt is alive: its time begins anew."""
        watched = self._watched.get(place_of(call))
        if watched is not None and not watched[0].expired():
            scope, heartbeat_s = watched
            scope.reschedule(self._loop.time() + heartbeat_s)
