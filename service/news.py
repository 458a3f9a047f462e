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
        if since is not None and since != self.count:
            return
        event = self._grew
        try:
            async with asyncio.timeout(SAFETY_S):
                await event.wait()
        except TimeoutError:
            return
