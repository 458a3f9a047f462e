"""Which sessions were ended, as this process knows it: asked for each request of a browser, read seldom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from service.db.sessions import EVERYBODY
from service.known_tokens import FRESH_S

if TYPE_CHECKING:
    from service.db.reads import Reads


class KnownSessions:
    """What is known may be `FRESH_S` old; a notification makes it old at once. Every call may raise
    `DatabaseUnavailable`: what is too old is not believed.
    """

    def __init__(self, reads: Reads, now: Callable[[], float] = time.monotonic) -> None:
        self._reads = reads
        self._now = now
        self._lock = asyncio.Lock()
        self._ends: Mapping[str, int] = {}
        self._read_at = float("-inf")
        self._heard = 0

    def hear(self) -> None:
        """Sessions were ended."""
        self._heard += 1
        self._read_at = float("-inf")

    async def ends(self) -> Mapping[str, int]:
        """How often the sessions of each person were ended. Many who ask at once wait for one reading."""
        if self._now() - self._read_at > FRESH_S:
            async with self._lock:
                if self._now() - self._read_at > FRESH_S:
                    await self._read()
        return self._ends

    async def _read(self) -> None:
        began, heard = self._now(), self._heard
        rows = await self._reads.fetch("session_ends")
        self._ends = {row["person"]: row["generation"] for row in rows}
        # What was told meanwhile may not be in what was read.
        self._read_at = began if heard == self._heard else float("-inf")


def generation(ends: Mapping[str, int], *known_by: str) -> int:
    """How often sessions of somebody known by these names were ended, alone or with everybody's: it only grows."""
    names: Iterable[str] = {EVERYBODY, *known_by}
    return sum(ends.get(name, 0) for name in names)
