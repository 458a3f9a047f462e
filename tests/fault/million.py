"""A million records through micro-batches while daemons and a real broker are killed: by hand, for it takes minutes.

    python -m tests.fault.million [--records 1000000]

Apache Kafka comes from `KAFKA_HOME` or is fetched with `mvn`, as for `make test-kafka`; it needs Java.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import signal
import tempfile
import time
from pathlib import Path

from service.db.migrations import migrate
from service.embedded.apache import READY, Peer, format_storage, new_cluster_id, order, settings
from service.embedded.apache_jars import Jars
from service.embedded.broker import free_port
from service.embedded.child import Child
from service.embedded.postgres import EmbeddedPostgres
from tests.broker.seam import create_topic
from tests.brokers import apache_jars
from tests.fault.storm import PARTITIONS, Storm


class Broker:
    """One broker of Apache Kafka that keeps its records over its end."""

    def __init__(self, jars: Jars, folder: Path) -> None:
        self._jars, self._folder = jars, folder
        self._peer = Peer(1, free_port(), free_port())
        self.servers = f"127.0.0.1:{self._peer.port}"
        self._child: Child | None = None

    async def form(self) -> None:
        """Make its storage."""
        await format_storage(self._jars, self._folder, self._peer, [self._peer], new_cluster_id())
        (self._folder / "server.properties").write_text(settings(self._peer, [self._peer]))

    async def start(self) -> None:
        """Start it, or start it again."""
        made = order(self._jars, self._folder, ["kafka.Kafka", "server.properties"], ready=READY)
        self._child = Child(dataclasses.replace(made, stop_signal=signal.SIGKILL))
        await self._child.start(120.0)

    async def kill(self) -> None:
        """`kill -9`."""
        if self._child is not None:
            await self._child.stop()


async def storm(records: int, folder: Path, limit_s: float) -> None:
    """Rage, check, and tell."""
    broker, postgres = Broker(await apache_jars(), folder), EmbeddedPostgres(folder / "home")
    await broker.form()
    dsn = await postgres.start()
    await migrate(dsn)
    await broker.start()
    try:
        await create_topic(broker.servers, "storm", PARTITIONS)

        async def kill() -> None:
            await broker.kill()
            await asyncio.sleep(random.uniform(0, 2))
            await broker.start()

        def told(line: str) -> None:
            print(f"{time.monotonic() - began:.0f} s: {line}", flush=True)

        began = time.monotonic()
        raging = Storm(
            dsn,
            broker.servers,
            "storm",
            folder,
            records,
            kill,
            batch=4000,
            lives_s=(8, 20),
            calm_s=(15, 30),
            tells=told,
        )
        await raging.rage(limit_s)
        took_s = time.monotonic() - began
        batches = await raging.check()
    finally:
        await broker.kill()
        await postgres.stop()
    print(
        f"{records} records in {took_s:.0f} s through {batches} batches; daemons killed {raging.killed}, told to leave "
        f"{raging.left}, broker killed {raging.troubled}, runs resumed {raging.resumed}: every "
        "offset in exactly one successful batch of each pipeline"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--limit-s", type=float, default=3600.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-million-") as folder:
        asyncio.run(storm(given.records, Path(folder), given.limit_s))


if __name__ == "__main__":
    main()
