"""Keeps one sink supplied: the run log in commit order, at least once, whatever crashes on either side."""

from __future__ import annotations

import logging
import random

from service.db.sinks import LogPage, Tail, tailing
from service.errors import Conflict, DatabaseUnavailable
from service.news import News
from service.sinks.base import Delivered, Sink, SinkTrouble
from triggers import faults
from triggers.base import Clock

logger = logging.getLogger("tidemill.sinks")

STANDBY_S = 2.0
# While an older transaction is open what came after it may not be read; most are over in a moment.
HORIZON_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
LONGEST_WAIT_S = 300.0


class Relay:
    """Delivers for a sink while no other process does."""

    def __init__(self, sink: Sink, dsn: str, news: News, clock: Clock) -> None:
        self.sink = sink
        self._dsn = dsn
        self._news = news
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled. The database away, or another process at it: try again in a while."""
        try:
            while True:
                try:
                    async with tailing(self._dsn, self.sink.name) as tail:
                        await self._follow(tail)
                except (Conflict, DatabaseUnavailable) as error:
                    logger.debug("%s", error)
                await self._clock.sleep(STANDBY_S)
        finally:
            await self.sink.close()

    async def _follow(self, tail: Tail) -> None:
        looks = 0
        while True:
            seen = self._news.count
            page = await tail.page()
            if page is not None:
                looks = 0
                done = await self._deliver(tail, page)
                await faults.reach("sink.delivered")
                await tail.move(page.last, delivered=done.sent, refused=done.refused)
            elif await tail.more():
                await self._clock.sleep(HORIZON_S[min(looks, len(HORIZON_S) - 1)])
                looks += 1
            else:
                await self._news.changed(seen)

    async def _deliver(self, tail: Tail, page: LogPage) -> Delivered:
        """Until the whole page is delivered; what was is not sent again by this process."""
        entries, done, tries = page.entries, Delivered(), 0
        while True:
            try:
                await faults.reach("sink.deliver")
                return done + await self.sink.deliver(entries, tail)
            except SinkTrouble as error:
                tries = 0 if error.past else tries
                entries, done = entries[error.past :], done + error.done
                if tries == 0:
                    logger.warning("sink %s falls behind: %s", self.sink.name, error)
                await tail.trouble(str(error))
                await self._clock.sleep(_wait_s(error, tries))
                tries += 1


def _wait_s(error: SinkTrouble, tries: int) -> float:
    wanted_s = RETRY_S[min(tries, len(RETRY_S) - 1)] * random.uniform(0.8, 1.2)
    return min(max(wanted_s, error.retry_after_s or 0.0), LONGEST_WAIT_S)
