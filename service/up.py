"""Runs one daemon in this process, for `tidemill up` with embedded servers where none is configured."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service.app import Daemon
from service.build import open_daemon
from service.catalogue import load_catalogue
from service.embedded.apache import ApacheKafka
from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres
from service.feeds import load_feed
from service.garbage import settle
from service.kafka_access import kafka_access, registry_access
from service.settings import Broker, Settings
from service.temporary import own_temporary_files, remove_left
from triggers.base import KafkaAccess

logger = logging.getLogger("tidemill")

Say = Callable[[str], None]
Feed = Callable[[Path, str], Coroutine[Any, Any, None]]


@dataclass
class Servers:
    """The servers a daemon uses. Each of `deaths` returns at the end and raises when its server dies before."""

    settings: Settings
    kafka: KafkaAccess | None = None
    deaths: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)


async def serve(settings: Settings, *, embed: bool, feed: str | None, say: Say) -> None:
    """Run a daemon until SIGINT or SIGTERM; a second signal does not wait for stages to finish.

    `feed` is a coroutine function `package.module:name` run beside it. Raises what `load_catalogue`, `open_daemon`
    and the embedded servers raise; a server that dies ends the daemon loudly.
    """
    fed = load_feed(feed) if feed else None
    catalogue = load_catalogue(settings.pipelines)
    with own_temporary_files() as shared:
        async with _servers(settings, embed) as servers:
            daemon = await open_daemon(servers.settings, catalogue, servers.kafka or kafka_access(settings))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.to_thread(remove_left, shared))
                tasks.create_task(daemon.run(_started(say, fed, tasks)))
                _heed_signals(daemon)
                watching = [tasks.create_task(death()) for death in servers.deaths]
                await daemon.stopped.wait()
                for task in watching:
                    task.cancel()
    say("stopped")


def _started(say: Say, feed: Feed | None, tasks: asyncio.TaskGroup) -> Callable[[Daemon], Coroutine[Any, Any, None]]:
    async def started(daemon: Daemon) -> None:
        settle()
        say(_addresses(daemon))
        if feed is not None and daemon.kafka is not None:
            daemon.beside.append(tasks.create_task(feed(daemon.settings.root, daemon.kafka.bootstrap_servers)))

    return started


def _heed_signals(daemon: Daemon) -> None:
    def heed() -> None:
        if daemon.draining:
            daemon.hurry()
        else:
            logger.info("stopping: taking nothing new; once more to stop at once")
            daemon.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, heed)


@asynccontextmanager
async def _servers(settings: Settings, embed: bool) -> AsyncIterator[Servers]:
    """Start the servers that are not configured; stop them at the end."""
    servers = Servers(settings)
    async with AsyncExitStack() as stack:
        if embed and settings.database.url is None:
            postgres = EmbeddedPostgres(settings.home)
            database = dataclasses.replace(settings.database, url=await stack.enter_async_context(postgres))
            servers.settings = dataclasses.replace(settings, database=database)
            servers.deaths.append(postgres.watch)
        if embed and settings.kafka.bootstrap_servers is None:
            keeps = settings.kafka.embedded is Broker.APACHE
            broker = ApacheKafka(settings.home) if keeps else EmbeddedKafka(settings.home)
            address = await stack.enter_async_context(broker)
            servers.kafka = KafkaAccess(
                address,
                settings.kafka.group_prefix,
                create_topics=True,
                session_s=settings.kafka.session_s,
                embedded=not keeps,
                registry=registry_access(settings.registry),
            )
            servers.deaths.append(broker.watch)
        yield servers


def _addresses(daemon: Daemon) -> str:
    pipelines = ", ".join(f"{name} ({one.version})" for name, one in daemon.catalogue.pipelines.items())
    lines = {
        "API": daemon.address or "not served by this process",
        "Kafka": daemon.kafka.bootstrap_servers if daemon.kafka else "none",
        "Artifacts": daemon.settings.artifacts.url,
        "Pipelines": pipelines or "none: set TIDEMILL_PIPELINES",
    }
    told = "\n".join(f"  {name:<10} {value}" for name, value in lines.items())
    return f"tidemill {version('tidemill')} is ready\n{told}"
