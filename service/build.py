"""Builds a daemon from its settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from service.app import Daemon, Server
from service.attended import AttendedRunner
from service.catalogue import Catalogue
from service.clock import SystemClock
from service.db.daemons import Registration
from service.db.migrations import migrate, pending
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.writer import Writer
from service.errors import ConfigError, MigrationError
from service.inbox import NoHandOver, PostgresInbox
from service.known_secrets import known_secrets
from service.lending import Lending
from service.log_spool import SpoolFolder
from service.loops.beginnings import Beginnings
from service.loops.checks import Checks
from service.loops.driver import Driver
from service.loops.executor import Executor
from service.loops.fanout import FanOut
from service.loops.heartbeats import Heartbeats
from service.loops.listeners import CalledTriggers, make_listeners
from service.loops.resources import Rationed, Resources
from service.loops.subruns import SubRuns
from service.news import News
from service.outbox import Outbox
from service.pools import announce_pools, check_pools, pools_of
from service.progress import ProgressReports
from service.settings import Role, Settings
from service.stage_logs import StageLogs
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.runners.base import Runner, RunnerTools
from stages.stores import open_store
from triggers.base import KafkaAccess, Listener, Surroundings

if TYPE_CHECKING:
    from triggers.records import RangeReader

logger = logging.getLogger("tidemill")


async def open_daemon(settings: Settings, catalogue: Catalogue, kafka: KafkaAccess | None) -> Daemon:
    """Connect to Postgres and put the daemon's parts together; nothing runs yet.

    Raises `ConfigError`, `MigrationError`, `DatabaseUnavailable`, `StoreUnavailable`.
    """
    dsn = settings.database.url
    if dsn is None:
        raise ConfigError("no database is set: set TIDEMILL_DATABASE_URL, or run `tidemill up`, which embeds one")
    _check_needs(catalogue, kafka)
    pools = pools_of(settings.pools)
    check_pools(catalogue.pipelines.values(), pools)
    await _prepare(settings, dsn)
    await announce_pools(dsn, pools)
    lease_s = settings.executor.lease_s
    writer = Writer(dsn, register=Registration([role.value for role in settings.roles], lease_s), lease_s=lease_s)
    reads = Reads(dsn, size=settings.database.max_connections)
    await reads.open()
    await writer.open()
    lending = Lending(settings, str(await reads.installation()))
    lending.daemon = _daemon(lending, dsn, kafka, catalogue, writer, reads)
    return lending.daemon


async def _prepare(settings: Settings, dsn: str) -> None:
    if settings.database.migrate:
        for name in await migrate(dsn):
            logger.info("migrated the database: %s", name)
    elif missing := await pending(dsn):
        raise MigrationError(f"the database lacks {', '.join(missing)}: run `tidemill migrate`")


def _check_needs(catalogue: Catalogue, kafka: KafkaAccess | None) -> None:
    if kafka is not None:
        return
    for binding in catalogue.bindings():
        if binding.trigger.kind.startswith("kafka"):
            raise ConfigError(
                f"{binding.name} listens to Kafka, and no broker is set: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS,"
                " or run `tidemill up`, which embeds one"
            )


def _daemon(
    lending: Lending, dsn: str, kafka: KafkaAccess | None, catalogue: Catalogue, writer: Writer, reads: Reads
) -> Daemon:
    settings, clock = lending.settings, SystemClock()
    store = open_store(settings.artifacts.url)
    registry = PostgresRegistry(writer, reads)
    reader = _reader(kafka)
    closers = [reads.close] if reader is None else [reads.close, reader.close]
    outbox = Outbox(catalogue)
    executor, stage_logs = None, None
    if Role.EXECUTOR in settings.roles:
        stage_logs = _stage_logs(settings, catalogue, writer, store)
        beginnings = Beginnings(asyncio.get_running_loop())
        runners = _runners(lending, writer, store, registry, reader, stage_logs, beginnings)
        closers += [runner.close for runner in runners.values()]
        checks = Checks(store, clock, writer, registry)
        executor = _executor(catalogue, _driver(settings, writer, reads, runners, outbox, checks, beginnings), settings)
    inbox = PostgresInbox(writer, reads, catalogue, executor or NoHandOver())
    outbox.opens_into(inbox)
    around = Surroundings(inbox=inbox, clock=clock, root=settings.root, kafka=kafka, fetched=reader)
    return Daemon(
        settings=settings,
        dsn=dsn,
        kafka=kafka,
        catalogue=catalogue,
        writer=writer,
        reads=reads,
        registry=registry,
        store=store,
        reader=reader,
        inbox=inbox,
        executor=executor,
        stage_logs=stage_logs,
        runners=lending.runners,
        listeners=_listeners(settings, catalogue, inbox, around),
        news=News(),
        clock=clock,
        closers=closers,
        serves=_server() if Role.API in settings.roles else None,
    )


def _executor(catalogue: Catalogue, driver: Driver, settings: Settings) -> Executor:
    writer, reads, places = driver.writer, driver.reads, settings.executor.max_runs
    return Executor(writer=writer, reads=reads, catalogue=catalogue, driver=driver, places=places)


def _driver(
    settings: Settings,
    writer: Writer,
    reads: Reads,
    runners: Mapping[str, Runner],
    outbox: Outbox,
    checks: Checks,
    beginnings: Beginnings,
) -> Driver:
    return Driver(
        writer=writer,
        reads=reads,
        clock=checks.clock,
        store=checks.store,
        runners=runners,
        checks=checks,
        fan_out=FanOut(checks.store),
        sub_runs=SubRuns(reads, checks.store),
        outbox=outbox,
        beginnings=beginnings,
        suspects=asyncio.Semaphore(settings.executor.threads),
    )


def _listeners(settings: Settings, catalogue: Catalogue, inbox: PostgresInbox, around: Surroundings) -> list[Listener]:
    listeners = make_listeners(catalogue.bindings(), around) if Role.TRIGGERS in settings.roles else []
    if Role.API in settings.roles:
        listeners.append(CalledTriggers(catalogue.bindings(), inbox))
    return listeners


def _runners(
    lending: Lending,
    writer: Writer,
    store: ArtifactStore,
    registry: PostgresRegistry,
    reader: RangeReader | None,
    logs: StageLogs,
    beginnings: Beginnings,
) -> dict[str, Runner]:
    loop = asyncio.get_running_loop()
    heartbeats = Heartbeats(loop)
    reports = ProgressReports(writer, loop, logs, heartbeats.heard)
    tools = RunnerTools(
        store=store,
        registry=registry,
        reader=reader,
        report=reports,
        began=_both(heartbeats.began, beginnings.began),
        logs=logs,
    )
    resources = Resources(lending.settings.executor.resources)
    runners = lending.open_runners(tools)
    attended = {name: AttendedRunner(one, logs, reports, heartbeats) for name, one in runners.items()}
    return {name: Rationed(runner, resources) for name, runner in attended.items()}


def _both(one: Callable[[Call], None], other: Callable[[Call], None]) -> Callable[[Call], None]:
    def tell(call: Call) -> None:
        one(call)
        other(call)

    return tell


def _stage_logs(settings: Settings, catalogue: Catalogue, writer: Writer, store: ArtifactStore) -> StageLogs:
    folder = SpoolFolder(settings.home, settings.executor.log_bytes)
    secrets = known_secrets(settings, [binding.trigger for binding in catalogue.bindings()])
    return StageLogs(writer, asyncio.get_running_loop(), store, folder, secrets)


def _server() -> Callable[[Daemon], Server]:
    from service.api.server import ApiServer

    return ApiServer


def _reader(kafka: KafkaAccess | None) -> RangeReader | None:
    if kafka is None:
        return None
    from triggers.records import RangeReader

    return RangeReader(kafka)
