"""Ends runs that nobody started in time, and tells of those that are late."""

from __future__ import annotations

import logging

from service.db.sweep import Sweep, Swept
from service.db.writer import Writer
from triggers.base import Clock

logger = logging.getLogger("tidemill.deadlines")

SWEEP_S = 1.0


class Deadlines:
    """Looks once a second: two statements over indexes that hold only runs with such a time."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled. What passes while Postgres is away is found afterwards."""
        while True:
            if self._writer.outage is None:
                [swept] = await self._writer.submit(Sweep())
                self._tell(swept)
            await self._clock.sleep(SWEEP_S)

    def _tell(self, swept: Swept) -> None:
        for run_id, pipeline in swept.unstarted:
            logger.warning("%s run %s failed: nobody started it in time: tidemill show %s", pipeline, run_id, run_id)
        for run_id, pipeline, due_at in swept.late:
            logger.warning("%s run %s is late: it was due at %s: tidemill show %s", pipeline, run_id, due_at, run_id)
