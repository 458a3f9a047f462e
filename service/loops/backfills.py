"""Goes on with backfills: any daemon that listens to triggers may, whoever was asked and whatever crashed since."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from service.backfill import Backfill, Stretch, described
from service.catalogue import Catalogue
from service.db.backfills import Coming, StepBackfill, Stepped, TickRows
from service.db.reads import Reads
from service.db.rows import Row
from service.db.writer import Writer
from service.errors import DatabaseUnavailable
from service.inbox import PostgresInbox, event_row
from service.news import News
from triggers.base import Binding
from triggers.errors import InvalidTrigger
from triggers.schedule import Schedule

logger = logging.getLogger("tidemill.backfills")

# Ticks looked at in one step: those that ran already are passed over.
LOOK = 500
# How often to look for backfills whose notice was lost.
IDLE_S = 30.0
# Runs end in quick succession: they are counted together.
PAUSE_S = 0.05


class Backfills:
    """Sleeps until a backfill is asked for; then goes on whenever one of its runs may have ended."""

    def __init__(self, writer: Writer, reads: Reads, catalogue: Catalogue, inbox: PostgresInbox, news: News) -> None:
        self._writer = writer
        self._reads = reads
        self._catalogue = catalogue
        self._inbox = inbox
        self._news = news
        self._asked = asyncio.Event()

    def hear(self) -> None:
        """A backfill was asked for or is to stop, or a notice may have been lost."""
        self._asked.set()
        self._news.hear("")

    async def run(self) -> None:
        """Go on with all of them until cancelled."""
        while True:
            self._asked.clear()
            seen = self._news.count
            try:
                running, again = await self._round()
            except DatabaseUnavailable as error:
                logger.warning("cannot look after backfills: %s", error)
                running, again = True, False
            if not running:
                await self._wait_for_one()
            elif not again:
                await asyncio.sleep(PAUSE_S)
                await self._news.changed(seen)

    async def _wait_for_one(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _round(self) -> tuple[bool, bool]:
        """A step of each. Whether any is running, and whether one has more to do at once."""
        rows = await self._reads.fetch("running_backfills")
        steps = [await self._step(row) for row in rows]
        return bool(rows), any(one is not None and one.again for one in steps)

    async def _step(self, row: Row) -> Stepped | None:
        coming = await asyncio.to_thread(self._coming, row)
        stepped: Stepped | None
        [stepped] = await self._writer.submit(StepBackfill(row["id"], coming))
        if stepped is not None and stepped.state != "running":
            logger.info("backfill %s of %s/%s: %s", row["id"], row["pipeline"], row["trigger"], stepped.state)
        return stepped

    def _coming(self, row: Row) -> Coming:
        """What is next, as far as it can be told without the database."""
        reached_at: datetime | None = row["reached_at"]
        if row["pipeline"] not in self._catalogue.pipelines or row["halted"] is not None:
            return Coming(reached_at)
        binding = self._binding(row)
        now = "gone" if binding is None else described(binding)
        if binding is None or now != row["schedule"]:
            return Coming(reached_at, halts=f"the schedule was {row['schedule']!r} and is {now!r} now: ask anew")
        stretch = Stretch(from_at=row["from_at"], to_at=row["to_at"], newest_first=row["newest_first"])
        asked = Backfill(id=row["id"], binding=binding, again=row["again"], priority=row["priority"])
        try:
            ticks = stretch.following(binding.trigger, reached_at, LOOK + 1)
        except InvalidTrigger as error:
            return Coming(reached_at, halts=str(error))
        keyed = [(due_at, asked.event(due_at).key) for due_at in ticks[:LOOK]]
        return Coming(reached_at, keyed, last=len(ticks) <= LOOK, rows=lambda due_at: self._rows(asked, due_at))

    def _rows(self, asked: Backfill, due_at: datetime) -> TickRows:
        arrival = asked.arrival(due_at)
        return TickRows(due_at, event_row(arrival.event), self._inbox.decided(arrival))

    def _binding(self, row: Row) -> Binding | None:
        name = f"{row['pipeline']}/{row['trigger']}"
        bindings = self._catalogue.bindings(Schedule)
        return next((one for one in bindings if one.name == name), None)
