"""Adopts the runs of processes that died."""

from __future__ import annotations

import asyncio
import logging

from service.db.daemons import Adopt, Adopted
from service.db.reads import Reads
from service.db.writer import Writer
from service.errors import DatabaseUnavailable

logger = logging.getLogger("tidemill.recovery")

SOONEST_S = 0.01


class Recovery:
    """Looks for lapsed leases, but only after this process itself has reached the database for a whole lease.

    Otherwise the first daemon to reconnect after an outage would take everybody's runs away from them.
    """

    def __init__(self, writer: Writer, *, lease_s: float) -> None:
        self._writer = writer
        self._lease_s = lease_s

    async def run(self) -> None:
        """Look four times a lease, and whenever one may have lapsed, until cancelled."""
        loop = asyncio.get_running_loop()
        steady_since = loop.time() - self._lease_s
        while True:
            wait_s = self._lease_s / 4
            if self._writer.outage is not None:
                steady_since = loop.time()
            elif loop.time() - steady_since >= self._lease_s:
                wait_s = min(wait_s, await self._adopt())
            await asyncio.sleep(wait_s)

    async def _adopt(self) -> float:
        """In how many seconds it is worth to look again. Who lives renews its lease long before it would lapse."""
        adopted: Adopted
        [adopted] = await self._writer.submit(Adopt())
        if adopted.runs:
            logger.warning("adopted %s runs of a process that died", adopted.runs)
        return self._lease_s if adopted.next_s is None else max(adopted.next_s, SOONEST_S)


class Standing:
    """Ends the transactions of processes that stand still in the middle of them, past their lease.

    Not by the writer: its own flush may be what waits for such a process.
    """

    def __init__(self, writer: Writer, reads: Reads, *, lease_s: float) -> None:
        self._writer = writer
        self._reads = reads
        self._lease_s = lease_s

    async def run(self) -> None:
        """Look four times a lease, until cancelled."""
        while True:
            try:
                for row in await self._reads.fetch("end_standing", self._writer.daemon):
                    logger.warning("daemon %s stands still in a transaction, which was ended", row["id"])
            except DatabaseUnavailable as error:
                logger.debug("%s", error)
            await asyncio.sleep(self._lease_s / 4)
