"""Builds a daemon from its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from service.app import Daemon, Server, give_up
from service.catalogue import Catalogue
from service.clock import DatabaseClock
from service.db.daemons import Registration
from service.db.links import known_key
from service.db.migrations import migrate, pending
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.restored import settle
from service.db.sinks import announce_sinks
from service.db.writer import Writer
from service.engine import Ground, open_engine
from service.errors import ConfigError, MigrationError
from service.in_clear import in_clear
from service.inbox import NoHandOver, PostgresInbox
from service.known_secrets import known_secrets
from service.lending import Lending
from service.loops.backfills import Backfills
from service.loops.kept_runs import KeptRuns
from service.loops.listeners import CalledTriggers, make_listeners
from service.news import News
from service.outbox import Outbox
from service.pools import announce_pools, check_pools, pools_of
from service.settings import Role, Settings
from service.sinks.make import make_sinks
from stages.stores import open_store
from triggers.base import KafkaAccess, Listener, Surroundings
from triggers.schedule import Schedule

if TYPE_CHECKING:
    from triggers.readers import AnyReader

logger = logging.getLogger("tidemill")


async def open_daemon(settings: Settings, catalogue: Catalogue, kafka: KafkaAccess | None) -> Daemon:
    """Connect to Postgres and put the daemon's parts together; nothing runs yet.

    Raises `ConfigError`, `MigrationError`, `DatabaseUnavailable`, `StoreUnavailable`.
    """
    dsn = settings.database.url
    if dsn is None:
        raise ConfigError("no database is set: set TIDEMILL_DATABASE_URL, or run `tidemill up`, which embeds one")
    _check_needs(catalogue, kafka)
    for told in in_clear(settings, [binding.trigger for binding in catalogue.bindings()]):
        logger.warning("%s; or name the host in TIDEMILL_PLAIN_HOSTS where that is meant", told)
    for binding in catalogue.bindings(Schedule):
        binding.trigger.look_in(settings.root)
    pools = pools_of(settings.pools)
    check_pools(catalogue.pipelines.values(), pools)
    await _prepare(settings, dsn)
    await announce_pools(dsn, pools)
    lease_s = settings.executor.lease_s
    writer = Writer(dsn, register=Registration([role.value for role in settings.roles], lease_s), lease_s=lease_s)
    reads = _reads(settings, dsn, catalogue)
    await reads.open()
    await writer.open()
    lending = Lending(settings, str(await reads.installation()))
    if settings.http.api_token is None and settings.oidc.issuer is not None:
        lending.key = settings.http.link_key.encode() if settings.http.link_key else await known_key(reads)
    sinks = make_sinks(settings, catalogue, kafka, lending.installation)
    await announce_sinks(dsn, [one.name for one in sinks])
    daemon = _daemon(lending, dsn, kafka, writer, reads, Outbox(catalogue), catalogue)
    daemon.sinks = sinks
    lending.daemon = daemon
    await daemon.clock.set()
    return daemon


async def open_guest(settings: Settings, catalogue: Catalogue, kafka: KafkaAccess | None, outbox: Outbox) -> Daemon:
    """A daemon that drives runs with kept code, beside one that has prepared the database. Raises as `open_daemon`."""
    dsn, lease_s = str(settings.database.url), settings.executor.lease_s
    writer = Writer(dsn, register=Registration([role.value for role in settings.roles], lease_s), lease_s=lease_s)
    reads = _reads(settings, dsn, catalogue)
    await reads.open()
    await writer.open()
    lending = Lending(settings, str(await reads.installation()))
    daemon = _daemon(lending, dsn, kafka, writer, reads, outbox, catalogue)
    await daemon.clock.set()
    return daemon


def _reads(settings: Settings, dsn: str, catalogue: Catalogue) -> Reads:
    secrets = known_secrets(settings, [binding.trigger for binding in catalogue.bindings()])
    return Reads(dsn, size=settings.database.max_connections, secrets=secrets)


async def _prepare(settings: Settings, dsn: str) -> None:
    if settings.database.migrate:
        for name in await migrate(dsn):
            logger.info("migrated the database: %s", name)
    elif missing := await pending(dsn):
        raise MigrationError(f"the database lacks {', '.join(missing)}: run `tidemill migrate`")
    if await settle(dsn):
        logger.warning("this database was restored from a dump: its run log has been put in this server's order")


def _check_needs(catalogue: Catalogue, kafka: KafkaAccess | None) -> None:
    catalogue.check_secrets()
    if kafka is not None:
        return
    for binding in catalogue.bindings():
        if binding.trigger.kind.startswith("kafka"):
            raise ConfigError(
                f"{binding.name} listens to Kafka, and no broker is set: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS,"
                " or run `tidemill up`, which embeds one"
            )


def _daemon(
    lending: Lending,
    dsn: str,
    kafka: KafkaAccess | None,
    writer: Writer,
    reads: Reads,
    outbox: Outbox,
    catalogue: Catalogue,
) -> Daemon:
    settings, reader = lending.settings, _reader(kafka, catalogue)
    ground = Ground(
        lending=lending,
        catalogue=catalogue,
        writer=writer,
        reads=reads,
        store=open_store(settings.artifacts.url),
        registry=PostgresRegistry(writer, reads),
        reader=reader,
        clock=DatabaseClock(reads.clock),
        outbox=outbox,
    )
    engine = open_engine(ground, give_up) if Role.EXECUTOR in settings.roles else None
    inbox = PostgresInbox(writer, reads, catalogue, NoHandOver() if engine is None else engine.executor)
    ground.outbox.opens_into(inbox)
    news = News()
    around = Surroundings(inbox=inbox, clock=ground.clock, root=settings.root, kafka=kafka, fetched=reader)
    closers = [reads.close] if reader is None else [reads.close, reader.close]
    return Daemon(
        dsn=dsn,
        kafka=kafka,
        ground=ground,
        engine=engine,
        inbox=inbox,
        listeners=_listeners(settings, catalogue, inbox, around),
        news=news,
        closers=[*closers, *(engine.closers if engine is not None else ())],
        serves=_server() if Role.API in settings.roles else None,
        backfills=Backfills(writer, reads, catalogue, inbox, news) if Role.TRIGGERS in settings.roles else None,
        kept_runs=_kept_runs(ground, kafka) if Role.EXECUTOR in settings.roles and not catalogue.kept else None,
    )


def _kept_runs(ground: Ground, kafka: KafkaAccess | None) -> KeptRuns:
    """What starts processes with kept code."""
    return KeptRuns(ground.lending, kafka, ground.store, ground.writer, ground.outbox)


def _listeners(settings: Settings, catalogue: Catalogue, inbox: PostgresInbox, around: Surroundings) -> list[Listener]:
    listeners: list[Listener] = []
    if Role.TRIGGERS in settings.roles:
        listeners += make_listeners(catalogue.bindings(), around)
    if Role.API in settings.roles:
        listeners.append(CalledTriggers(catalogue.bindings(), inbox))
    return listeners


def _server() -> Callable[[Daemon], Server]:
    from service.api.server import ApiServer

    return ApiServer


def _reader(kafka: KafkaAccess | None, catalogue: Catalogue) -> AnyReader | None:
    """What reads micro-batches again, None where there are none."""
    from triggers.continuous.shards import StreamBatches

    streams = [one.trigger for one in catalogue.bindings() if isinstance(one.trigger, StreamBatches)]
    if kafka is None and not streams:
        return None
    from triggers.readers import AnyReader

    ranges = None
    if kafka is not None:
        from triggers.kafka.range_reader import RangeReader

        ranges = RangeReader(kafka)
    return AnyReader(ranges, streams)
