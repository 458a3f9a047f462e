"""A million records through micro-batches while daemons and a real broker are killed: by hand, for it takes minutes.

    python -m tests.fault.million --libs FOLDER [--records 1000000]

`FOLDER` holds the jars of Apache Kafka (`org.apache.kafka:kafka_2.13` with its dependencies, as
`mvn dependency:copy-dependencies` gathers them); `java` is on the path.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from tests.broker.seam import create_topic
from tests.fault.storm import PARTITIONS, Storm, free_port

_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=200
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
"""


class ApacheKafka:
    """One broker of Apache Kafka that keeps its records over its end."""

    def __init__(self, libs: Path, folder: Path) -> None:
        self._libs, self._folder = libs, folder
        self._process: asyncio.subprocess.Process | None = None
        port, controller = free_port(), free_port()
        self.servers = f"127.0.0.1:{port}"
        self._settings = folder / "server.properties"
        self._settings.write_text(_SETTINGS.format(port=port, controller=controller, folder=folder))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings)]
        subprocess.run(["java", "-cp", f"{libs}/*", *tool], check=True, capture_output=True)

    async def start(self) -> None:
        """Start it, or start it again."""
        with (self._folder / "broker.log").open("ab") as log:
            command = ["java", "-Xmx768m", "-cp", f"{self._libs}/*", "kafka.Kafka", str(self._settings)]
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)

    async def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


async def storm(libs: Path, records: int, folder: Path, limit_s: float) -> None:
    """Rage, check, and tell."""
    broker, postgres = ApacheKafka(libs, folder), EmbeddedPostgres(folder / "home")
    dsn = await postgres.start()
    await migrate(dsn)
    await broker.start()
    try:
        await reachable(broker.servers)
        await create_topic(broker.servers, "storm", PARTITIONS)

        async def kill() -> None:
            await broker.kill()
            await asyncio.sleep(random.uniform(0, 2))
            await broker.start()
            await reachable(broker.servers)

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


async def reachable(servers: str) -> None:
    """Wait until the broker answers."""
    async with asyncio.timeout(120):
        while True:
            client = AIOKafkaClient(bootstrap_servers=servers, request_timeout_ms=2_000)
            try:
                await client.bootstrap()
            except (OSError, KafkaError):
                await asyncio.sleep(0.5)
            else:
                return
            finally:
                await client.close()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libs", type=Path, required=True)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--limit-s", type=float, default=3600.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-million-") as folder:
        asyncio.run(storm(given.libs.resolve(), given.records, Path(folder), given.limit_s))


if __name__ == "__main__":
    main()
