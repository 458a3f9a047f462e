"""The clocks a daemon goes by."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from service.errors import DatabaseUnavailable
from triggers.event import utc_now

logger = logging.getLogger("tidemill.clock")

# How often the database is asked what time it is.
EVERY_S = 15.0
# A difference that is not spoken of, and one below which the clock is not set.
SLIGHT, NONE = timedelta(seconds=1), timedelta(milliseconds=50)


class SystemClock:
    """Wall-clock time and the event loop's sleep. Implements `triggers.base.Clock`."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return utc_now()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


class DatabaseClock(SystemClock):
    """The database's clock: what it said last, and the seconds that have passed here since.

    So a machine whose clock is wrong, or is set while its daemon runs, fires no tick early or late and ends no stage
    before its time. Until it is `set` it goes by the machine's. `ask` may raise `DatabaseUnavailable`.
    """

    def __init__(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        self._ask = ask
        self._ahead_s = time.time() - time.monotonic()

    def now(self) -> datetime:
        """The present instant in UTC."""
        return self._at(time.monotonic())

    def _at(self, monotonic_s: float) -> datetime:
        return datetime.fromtimestamp(monotonic_s + self._ahead_s, UTC)

    async def set(self) -> None:
        """Ask the database, and go by its answer where the difference is more than the question took."""
        asked_s = time.monotonic()
        said = await self._ask()
        unsure_s = (time.monotonic() - asked_s) / 2
        off = said - self._at(asked_s + unsure_s)
        if abs(off) > max(NONE, timedelta(seconds=unsure_s)):
            if abs(off) > SLIGHT:
                logger.warning(
                    "the clock of Postgres is %+.1f s from ours: going by that of Postgres", off.total_seconds()
                )
            self._ahead_s = said.timestamp() - (asked_s + unsure_s)

    async def run(self) -> None:
        """Ask now and then, until cancelled. Where Postgres is away, the seconds here go on counting."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.set()
            except DatabaseUnavailable:
                continue
