"""Sees to it that runs which are for the kept code of a version are driven: each version in a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from service.db.kept import RefuseKept, WaitingVersions
from service.db.rows import Row
from service.db.writer import Writer
from service.kept.keeping import installed
from service.kept.link import Order
from service.kept.process import KeptProcess
from service.lending import Lending
from service.outbox import Outbox
from service.settings import Settings
from stages.artifacts import ArtifactStore
from stages.errors import StageError
from stages.kept_code import unpack
from triggers.base import KafkaAccess

logger = logging.getLogger("tidemill.kept")

POLL_S = 2.0
RETRY_S = 1.0
AT_ONCE = 2


@dataclass(eq=False, slots=True)
class KeptRuns:
    """Looks when woken, when a run is ready again, and now and then. Several daemons may look: each run is claimed by
    one process, and one that finds nothing to do ends.
    """

    lending: Lending
    kafka: KafkaAccess | None
    store: ArtifactStore
    writer: Writer
    outbox: Outbox
    _heard: asyncio.Event = field(default_factory=asyncio.Event)
    _running: set[tuple[str, str]] = field(default_factory=set)

    def hear(self) -> None:
        """There may be something to drive."""
        self._heard.set()

    async def run(self) -> None:
        """Start a process for each version that has runs, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._heard.clear()
                wait_s = await self._look(tasks)
                try:
                    async with asyncio.timeout(wait_s):
                        await self._heard.wait()
                except TimeoutError:
                    pass

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        """Start what can be started; the answer is when it is worth looking again."""
        if self.writer.outage is not None:
            return RETRY_S
        [rows] = await self.writer.submit(WaitingVersions())
        waits = [POLL_S]
        for row in rows:
            version = (row["pipeline"], row["version"])
            if version in self._running or len(self._running) >= AT_ONCE:
                continue
            if row["ready_in_s"] > 0:
                waits.append(row["ready_in_s"])
                continue
            self._running.add(version)
            tasks.create_task(self._drive(row))
        return min(waits)

    async def _drive(self, row: Row) -> None:
        try:
            refused = await self._driven(row)
            if refused is not None:
                reason = f"{row['pipeline']} {row['version']} cannot be run from its kept code: {refused}"
                [runs] = await self.writer.submit(RefuseKept(row["pipeline"], row["version"], reason))
                logger.warning("%s (%s)", reason, ", ".join(f"run {one} failed" for one in runs) or "no run waits")
            # One that ended at once, for whatever reason, is not started again at once.
            await asyncio.sleep(RETRY_S)
        finally:
            self._running.discard((row["pipeline"], row["version"]))
            self.hear()

    async def _driven(self, row: Row) -> str | None:
        """Why the runs cannot be driven, None where they were."""
        if row["code"] is None:
            return "none is kept"
        folder = self.lending.settings.home / "versions" / row["code"]
        try:
            await asyncio.to_thread(unpack, await self.store.get(row["code"]), folder)
        except (StageError, OSError) as error:
            if isinstance(error, StageError) and not error.transient:
                return str(error)
            logger.warning("the code of %s %s cannot be unpacked now: %s", row["pipeline"], row["version"], error)
            return None
        order = Order(self._settings(), row["pipeline"], row["version"], row["spec"])
        try:
            refused = await KeptProcess(order, folder, self.outbox).run()
        except OSError as error:
            logger.warning("no process for %s %s could be started: %s", row["pipeline"], row["version"], error)
            return None
        return None if refused is None else f"{refused}{_moved_on(row)}"

    def _settings(self) -> Settings:
        """Those of this daemon, with the broker that it uses, embedded or not, and where its API answers."""
        settings, api = self.lending.settings, self.lending.api()
        if self.kafka is not None:
            kafka = replace(settings.kafka, bootstrap_servers=self.kafka.bootstrap_servers)
            settings = replace(settings, kafka=kafka)
        return settings if api is None else replace(settings, client=replace(settings.client, url=api[0]))


def _moved_on(row: Row) -> str:
    """With which packages the version was loaded that are others here by now."""
    then: Mapping[str, str] = orjson.loads(row["made_with"]) if row["made_with"] else {}
    here = {name: installed(name) for name in then}
    others = [f"{name} {was} (here: {here[name] or 'none'})" for name, was in then.items() if was != here[name]]
    return f"; it was loaded with {', '.join(others)}" if others else ""
