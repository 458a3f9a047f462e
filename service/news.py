"""Lets many waiters in this process share one database listener for what is new in the run log."""

from __future__ import annotations

import asyncio

SAFETY_S = 5.0


class News:
    """Wakes everybody who waits whenever the run log grew.

    Take `count` before reading and give it to `changed` after: what comes in between is not missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._grew = asyncio.Event()

    def hear(self, payload: str) -> None:
        """The run log grew."""
        self.count += 1
        self._grew.set()
        self._grew = asyncio.Event()

    async def changed(self, since: int | None = None) -> None:
        """Wait until the run log grows past `since` (default: now), or a few seconds, in case a notice was lost."""
        try:
            async with asyncio.timeout(SAFETY_S):
                await self.grown(since)
        except TimeoutError:
            return

    async def grown(self, since: int | None = None) -> None:
        """The same, however long it takes: for many who wait, without a timer for each."""
        if since is None or since == self.count:
            await self._grew.wait()
