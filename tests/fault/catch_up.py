"""How fast micro-batches catch up, beside a bare loop over the same records: `python -m tests.fault.catch_up`.

Quote the ratio within one run: the machine is never alone.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from service.db.migrations import migrate
from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres
from service.settings import Role
from stages import Event, Pipeline, stage
from tests.broker.seam import access_to, create_topic
from tests.db.daemons import daemon, settings
from tests.db.writing import rows
from tests.fault.storm import PARTITIONS, produce
from triggers import KafkaBatches

RECORDS, BATCH, TIMES = 300_000, 1_000, 3


@stage
async def take(event: Event) -> int:
    return 1


async def bare(servers: str) -> float:
    """Records in a second through `getmany`, and nothing else."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, fetch_max_bytes=16 * 1024 * 1024)
    await consumer.start()
    partitions = [TopicPartition("t", number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    began, seen = time.monotonic(), 0
    while seen < RECORDS:
        seen += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    took_s = time.monotonic() - began
    await consumer.stop()
    return seen / took_s


async def batches(servers: str, dsn: str, folder: Path, name: str) -> float:
    """Records in a second into batches that are durable, from the first of them on."""
    pipeline = Pipeline(name, [take], on=[KafkaBatches("t", max_records=BATCH, max_wait_s=1)])
    given = settings(dsn, folder, Role.TRIGGERS, lease_s=30.0)

    async def accepted() -> int:
        [row] = await rows(dsn, "select count(*) as n from runs where pipeline = $1", name)
        return int(row["n"])

    async with daemon(given, pipeline, kafka=access_to(servers)):
        while not (had := await accepted()):
            await asyncio.sleep(0.01)
        began = time.monotonic()
        while (have := await accepted()) < RECORDS // BATCH:
            await asyncio.sleep(0.01)
        return (have - had) * BATCH / (time.monotonic() - began)


async def main(home: Path) -> None:
    """Print each rate, and the ratio."""
    broker, postgres = EmbeddedKafka(home), EmbeddedPostgres(home)
    servers, dsn = await broker.start(), await postgres.start()
    try:
        await migrate(dsn)
        await create_topic(servers, "t", PARTITIONS)
        await produce(servers, "t", RECORDS, 0.0)
        for number in range(TIMES):
            plain, ours = await bare(servers), await batches(servers, dsn, home, f"p{number}")
            print(f"bare {plain:,.0f}/s, micro-batches {ours:,.0f}/s: {ours / plain:.2f}", flush=True)
    finally:
        await broker.stop()
        await postgres.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tidemill-catch-up-") as folder:
        asyncio.run(main(Path(folder)))
