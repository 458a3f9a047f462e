"""Keeps the run log in days: makes the next ones, and drops those that every sink has read and nobody wants to keep."""

from __future__ import annotations

import logging

from service.db.run_log import LogParts, log_parts
from service.errors import Conflict, DatabaseUnavailable
from triggers.base import Clock

logger = logging.getLogger("tidemill.retention")

EVERY_S = 3600.0
AHEAD_DAYS = 3


class RunLogDays:
    """Looks after the log, in one process at a time. A sink holds back what it has not read for as long as any process
    delivers for it; one that nobody has any more, no longer than `keep_s`.
    """

    def __init__(self, dsn: str, keep_s: float, clock: Clock) -> None:
        self._dsn = dsn
        self._keep_s = keep_s
        self._clock = clock

    async def run(self) -> None:
        """Now and then, until cancelled."""
        while True:
            try:
                await self.tidy()
            except (Conflict, DatabaseUnavailable) as error:
                logger.debug("%s", error)
            await self._clock.sleep(EVERY_S)

    async def tidy(self) -> None:
        """Once. Raises `Conflict` while another process does it or somebody holds the log, `DatabaseUnavailable`."""
        async with log_parts(self._dsn) as parts:
            await parts.make(AHEAD_DAYS)
            gone = await parts.gone(self._keep_s)
            await self._drop(parts, gone)
            await parts.trim(self._keep_s, gone)

    async def _drop(self, parts: LogParts, gone: set[str]) -> None:
        for part in await parts.old(self._keep_s):
            waiting = set(part.unread_by) - gone
            if waiting:
                names = ", ".join(sorted(waiting))
                logger.warning("the run log is kept beyond retention.log_days: not yet delivered to %s", names)
                return
            for name in sorted(part.unread_by):
                logger.warning("sink %s, which no daemon has any more, has not read %s, which goes", name, part.name)
            await parts.drop(part.name)
            logger.info("dropped %s of the run log", part.name)
