"""Watches for triggers gone silent: those that say how often something is to come, and hear nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from service.db.watches import Watched, Watching, WatchTriggers
from service.db.writer import Writer
from service.errors import DatabaseUnavailable
from service.inbox import PostgresInbox
from triggers.base import Binding

logger = logging.getLogger("tidemill.triggers")

LOOK_S = 2.0
# A daemon that has just started has not caught up yet: it judges nobody before this.
SETTLE_S = 30.0


class Silence:
    """Tells the database what came, and learns which triggers are silent. Any number of daemons raise one alarm.

    The alarm is an entry of the run log, `silent` or `heard` (see `service.db.watches`): whoever is to be told reads it
    there, as all sinks do.
    """

    def __init__(self, bindings: Sequence[Binding], writer: Writer, inbox: PostgresInbox) -> None:
        self._bindings = [one for one in bindings if one.trigger.enabled and one.trigger.expect_every_s is not None]
        self._writer = writer
        self._inbox = inbox
        # What was told already is not told again: its time would creep forward by what each write takes.
        self._told: dict[str, float] = {}
        self.known: Mapping[str, Watched] = {}

    @property
    def watches(self) -> bool:
        """Whether there is anything to watch."""
        return bool(self._bindings)

    def since(self, binding: str) -> datetime | None:
        """Since when a trigger is silent, as far as this process knows; None where it is not."""
        watched = self.known.get(binding)
        return None if watched is None else watched.silent_since

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            watching = [self._of(one, loop.time() - began_s) for one in self._bindings]
            try:
                [told] = await self._writer.submit(WatchTriggers(watching))
            except DatabaseUnavailable:
                told = None
            if told is not None:
                self._told |= {one.binding: one.seen_at_s for one in watching if one.seen_at_s is not None}
                self.known = {one.binding: one for one in told}
                for one in told:
                    self._say(one)
            await asyncio.sleep(LOOK_S)

    def _of(self, binding: Binding, up_s: float) -> Watching:
        expected_s = binding.trigger.expect_every_s or 0.0
        came_at = self._inbox.came_at.get((binding.pipeline, binding.trigger.name))
        if came_at == self._told.get(binding.name):
            came_at = None
        return Watching(binding.name, expected_s, came_at, judged=up_s >= min(SETTLE_S, expected_s))

    def _say(self, one: Watched) -> None:
        if one.turned == "silent":
            said = "trigger %s is silent: nothing has come since %s, and it is expected every %g s"
            logger.error(said, one.binding, one.silent_since, one.expect_every_s)
        elif one.turned == "heard":
            logger.info("trigger %s is heard again", one.binding)
