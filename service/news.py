"""Lets many waiters in this process share one database listener for what is new in the run log."""

from __future__ import annotations

import asyncio

SAFETY_S = 5.0


class News:
    """Wakes everybody who waits whenever the run log grew."""

    def __init__(self) -> None:
        self._grew = asyncio.Event()

    def hear(self, payload: str) -> None:
        """The run log grew."""
        self._grew.set()

    async def changed(self) -> None:
        """Wait until the run log grows, or a few seconds: what was missed while disconnected is found all the same."""
        event = self._grew
        try:
            async with asyncio.timeout(SAFETY_S):
                await event.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Hand out one fresh event for each that fired, until cancelled."""
        while True:
            await self._grew.wait()
            self._grew = asyncio.Event()
