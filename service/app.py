"""The daemon: puts its parts together, and takes them apart in the right order when it stops."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.catalogue import Catalogue
from service.clock import DatabaseClock
from service.db.audit import AUDITED
from service.db.backfills import WAKE as BACKFILL_WAKE
from service.db.daemons import Release
from service.db.kept import WAKE as KEPT_WAKE
from service.db.listen import MISSED, Listening
from service.db.notes import PutPipeline
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.tokens import WAKE as TOKENS_WAKE
from service.db.writer import CHANGED, LOG_CHANNEL, WAKE_CHANNEL, Writer
from service.definition import definition
from service.engine import Engine, Ground
from service.inbox import PostgresInbox
from service.kept.keeping import Keeping
from service.logs.stages import StageLogs
from service.loops.audit import trim_audit
from service.loops.backfills import Backfills
from service.loops.deadlines import Deadlines
from service.loops.executor import Executor
from service.loops.kept_runs import KeptRuns
from service.loops.listeners import StatusReports
from service.loops.recovery import Recovery, Standing
from service.loops.relay import Relay
from service.loops.retention import Retention
from service.loops.run_log import RunLogDays
from service.loops.silence import Silence
from service.news import News
from service.retention import DAY_S
from service.settings import Settings
from service.sinks.base import Sink
from stages.artifacts import ArtifactStore
from stages.runners.base import OpenRunner
from stages.strays import Strays
from triggers.base import KafkaAccess, Listener, RecordReader

logger = logging.getLogger("tidemill")

LEAVE_S = 5.0


class Server(Protocol):
    """What answers HTTP for a daemon."""

    async def open(self) -> str:
        """Take the port and return the address. Raises `ConfigError`."""

    async def run(self) -> None:
        """Answer until `close`."""

    async def close(self) -> None:
        """Take nothing new and finish what is under way."""


@dataclass(kw_only=True)
class Daemon:
    """One process of Tidemill. `open`, then `run`; `stop` from a signal handler.

    The API reads what it shows from here: `draining` and the parts below.
    """

    dsn: str
    kafka: KafkaAccess | None
    ground: Ground
    engine: Engine | None
    inbox: PostgresInbox
    listeners: list[Listener]
    news: News
    closers: Sequence[Callable[[], Awaitable[None]]]
    serves: Callable[[Daemon], Server] | None
    sinks: Sequence[Sink] = ()
    backfills: Backfills | None = None
    kept_runs: KeptRuns | None = None
    draining: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    hurrying: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    beside: list[asyncio.Task[None]] = field(default_factory=list)
    hear_tokens: list[Callable[[], None]] = field(default_factory=list)
    hear_changes: list[Callable[[], None]] = field(default_factory=list)
    audited: News = field(default_factory=News)
    address: str = ""

    def __post_init__(self) -> None:
        ground, engine = self.ground, self.engine
        self.settings: Settings = ground.lending.settings
        self.catalogue: Catalogue = ground.catalogue
        self.writer: Writer = ground.writer
        self.reads: Reads = ground.reads
        self.registry: PostgresRegistry = ground.registry
        self.store: ArtifactStore = ground.store
        self.reader: RecordReader | None = ground.reader
        self.clock: DatabaseClock = ground.clock
        self.executor: Executor | None = None if engine is None else engine.executor
        self.stage_logs: StageLogs | None = None if engine is None else engine.stage_logs
        self.runners: Mapping[str, OpenRunner] = ground.lending.runners
        self.strays = Strays() if engine is None else engine.strays
        self.silence = Silence(list(self.catalogue.bindings()) if self.listeners else [], self.writer, self.inbox)

    @property
    def retention(self) -> Retention:
        """What cleans up."""
        return Retention(self.dsn, self.store, self.writer, self.clock)

    def stop(self) -> None:
        """Take nothing new, drain, give back, end."""
        self.draining = True
        self.stopping.set()

    def hurry(self) -> None:
        """Do not wait for what still runs: give it back."""
        self.hurrying.set()

    async def run(self, started: Callable[[Daemon], Awaitable[None]] | None = None) -> None:
        """Serve until `stop`. `started` is called once everything is listening. Unexpected errors end it loudly."""
        async with self.strays:
            if self.stage_logs is not None:
                self.stage_logs.attach()
            try:
                await self._serve(started)
            finally:
                if self.stage_logs is not None:
                    self.stage_logs.detach()
                for close in self.closers:
                    await close()
        self.stopped.set()

    async def _serve(self, started: Callable[[Daemon], Awaitable[None]] | None) -> None:
        async with asyncio.TaskGroup() as base:
            lasting = [base.create_task(one) for one in (self.writer.run(), self._listening().run(), self.clock.run())]
            self._announce_pipelines()
            async with asyncio.TaskGroup() as engine:
                working = [engine.create_task(loop) for loop in self._loops()]
                await self._intake(started)
                await self._drain()
                _cancel(working)
            await self._leave()
            _cancel(lasting)

    async def _intake(self, started: Callable[[Daemon], Awaitable[None]] | None) -> None:
        """Let events in until `stop`."""
        async with asyncio.TaskGroup() as intake:
            tasks = [intake.create_task(listener.run()) for listener in self.listeners]
            if self.backfills is not None:
                tasks.append(intake.create_task(self.backfills.run()))
            server = None if self.serves is None else self.serves(self)
            if server is not None:
                self.address = await server.open()
                tasks.append(intake.create_task(server.run()))
            if started is not None:
                await started(self)
            await self.stopping.wait()
            _cancel(self.beside)
            if server is not None:
                await server.close()
            _cancel(tasks)

    async def _drain(self) -> None:
        if self.executor is None:
            return
        drain_s = self.settings.executor.drain_s
        if self.executor.running:
            logger.info("finishing %s runs, for %g s at most", self.executor.running, drain_s)
        async with asyncio.TaskGroup() as tasks:
            ways = [tasks.create_task(self.executor.drain()), tasks.create_task(self._hurried())]
            await asyncio.wait(ways, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
            _cancel(ways)
        if self.executor.running:
            logger.warning("%s runs are not finished: another process will go on with them", self.executor.running)

    async def _leave(self) -> None:
        """Write what is left, give back the runs and the lease; where Postgres is away, the lease lapses instead."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self.writer.drained()
                [given_back] = await self.writer.submit(Release())
        except TimeoutError:
            logger.warning("Postgres does not answer: runs go on elsewhere once the lease of this process has lapsed")
        else:
            if given_back:
                logger.info("gave back %s runs", given_back)

    async def _hurried(self) -> None:
        await self.hurrying.wait()

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        loops: list[Coroutine[Any, Any, None]] = []
        if self.executor is not None:
            lease_s = self.settings.executor.lease_s
            loops += [self.executor.run(), Recovery(self.writer, lease_s=lease_s).run()]
            loops.append(Standing(self.writer, self.reads, lease_s=lease_s).run())
            loops += [Deadlines(self.writer, self.clock).run(), self._prepare_runners()]
            if self.settings.retention.policy.removes_anything:
                loops.append(self.retention.run(self.settings.retention.policy, self.settings.retention.every_s))
            if self.settings.retention.audit_days is not None:
                loops.append(trim_audit(self.writer, self.settings.retention.audit_days, self.clock))
            loops.append(RunLogDays(self.dsn, self.settings.retention.log_days * DAY_S, self.clock).run())
            loops += [Relay(sink, self.dsn, self.news, self.clock).run() for sink in self.sinks]
        loops += self._of_kept_code()
        if self.stage_logs is not None:
            loops.append(self.stage_logs.take_in_leftovers())
        if self.listeners:
            loops.append(StatusReports(self.writer, self.listeners).run())
        if self.silence.watches:
            loops.append(self.silence.run())
        return loops

    def _of_kept_code(self) -> list[Coroutine[Any, Any, None]]:
        if self.catalogue.kept:
            return []
        url = self.settings.artifacts.url
        keeping = Keeping(self.catalogue, self.store, url, self.writer, self.reads, self.clock)
        return [keeping.run(), *([] if self.kept_runs is None else [self.kept_runs.run()])]

    async def _prepare_runners(self) -> None:
        """Beside the first runs: nothing waits for it."""
        stages = [one for pipeline in self.catalogue.pipelines.values() for one in pipeline.plan.stages.values()]
        async with asyncio.TaskGroup() as tasks:
            for name, runner in self.runners.items():
                tasks.create_task(runner.prepare([one for one in stages if one.runner == name]))

    def _listening(self) -> Listening:
        return Listening(self.dsn, {WAKE_CHANNEL: self._woken, LOG_CHANNEL: self.news.hear})

    def _woken(self, payload: str) -> None:
        if self.backfills is not None and payload in ("", BACKFILL_WAKE, MISSED):
            self.backfills.hear()
        if self.kept_runs is not None and payload in (KEPT_WAKE, MISSED):
            self.kept_runs.hear()
        self._tell(self.hear_tokens if payload in ("", TOKENS_WAKE, MISSED) else [])
        self._tell(self.hear_changes if payload in (CHANGED, BACKFILL_WAKE, TOKENS_WAKE, MISSED) else [])
        if payload in (AUDITED, MISSED):
            self.audited.hear(payload)
        if self.executor is not None and payload not in (CHANGED, AUDITED):
            self._steered(self.executor, payload)

    @staticmethod
    def _tell(listeners: list[Callable[[], None]]) -> None:
        for hear in listeners:
            hear()

    @staticmethod
    def _steered(executor: Executor, payload: str) -> None:
        if payload.startswith("cancel "):
            executor.cancel(int(payload.removeprefix("cancel ")))
        elif payload.startswith("insist "):
            executor.insist(int(payload.removeprefix("insist ")))
        elif payload.startswith("poke "):
            executor.poked(int(payload.removeprefix("poke ")))
        elif payload == MISSED:
            executor.recover_owned()
        executor.wake()

    def _announce_pipelines(self) -> None:
        for name, pipeline in () if self.catalogue.kept else self.catalogue.pipelines.items():
            self.writer.later(PutPipeline(name, pipeline.version, definition(pipeline)))


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def give_up(error: BaseException | None) -> None:
    """End the process, in which stages swallow their cancellation. Everything else has been put in order by then."""
    logger.error("stages that swallow their cancellation still run: they end with this process", exc_info=error)
    logging.shutdown()
    os._exit(0 if error is None else 1)
