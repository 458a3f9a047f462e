"""(d) Records through micro-batches, beside a bare loop, Faust and Quix Streams over the same records."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, rates, summary
from benchmarks.streamers.runs import Unavailable, faust, quix
from benchmarks.tables import Goal, Table
from service.embedded.kafka import EmbeddedKafka
from service.settings import Role
from stages import Pipeline, Records, stage
from triggers import KafkaBatches
from triggers.base import KafkaAccess

TOPIC = "stream"
LIMIT = "bare getmany and orjson"
PADDING = "x" * 175
BITE = 2_000
FETCH_BYTES = 16 * 1024 * 1024
# The positions hold the offset after the last record that was accepted, and the watermark after it.
READ = "select coalesce(sum((regexp_match(value, '^[0-9]+'))[1]::bigint), 0) from positions"
OVER = "select (not exists (select from runs where state in ('queued', 'running', 'waiting') and id > 0))::int"
_numbers = itertools.count()

Streamer = Callable[[str, str, int], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. The peers read the first `peer_records` only."""

    records: int = 500_000
    peer_records: int = 100_000
    rounds: int = 3
    batch: int = 2_000
    partitions: int = 6


@stage(reuse="never")
def add(batch: Records) -> int:
    """What the bare loop does with the records: decode each, and add up a number."""
    return sum(value["n"] for value in batch.json())


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, EmbeddedKafka(here.folder) as servers:
        await produce(servers, size)
        contenders = {
            LIMIT: partial(_bare, here, servers, size),
            "tidemill": partial(ours, here, servers, size),
        }
        found = await alternate(contenders, size.rounds)
        peers, notes = await _peers(servers, size)
    notes.append("Only Tidemill makes a durable run of each batch; the others write nothing.")
    title = f"Records of 200 bytes in {size.partitions} partitions; Tidemill in batches of {size.batch:,}"
    return [rates(title, "record", summary(found | peers, LIMIT), *notes)]


async def produce(servers: str, size: Size) -> None:
    """Fill the topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, size.partitions, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    for start in range(0, size.records, BITE):
        numbers = range(start, min(start + BITE, size.records))
        values = [orjson.dumps({"n": number, "pad": PADDING}) for number in numbers]
        sent = [await producer.send(TOPIC, value, partition=n % size.partitions) for n, value in enumerate(values)]
        await asyncio.gather(*sent)
    await producer.stop()


async def _bare(here: Ground, servers: str, size: Size) -> Round:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, fetch_max_bytes=FETCH_BYTES)
    await consumer.start()
    partitions = [TopicPartition(TOPIC, number) for number in range(size.partitions)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)

    async def work() -> None:
        seen = total = 0
        while seen < size.records:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                total += sum(orjson.loads(record.value)["n"] for record in records)
                seen += len(records)

    try:
        return await measured(size.records, work, here.commits)
    finally:
        await consumer.stop()


async def ours(
    here: Ground, servers: str, size: Size, watched: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Round:
    """From the first batch that is durable to the last run that has succeeded, `watched` meanwhile."""
    await here.execute("truncate positions, runs, attempts, events")
    pipeline = Pipeline("added", [add], on=[KafkaBatches(TOPIC, max_records=size.batch, max_wait_s=0.2)])
    kafka = KafkaAccess(servers, f"round{next(_numbers)}", embedded=True)
    async with asyncio.TaskGroup() as tasks:
        settings = here_settings(here, Role.TRIGGERS, Role.EXECUTOR)
        daemon = await start_daemon(settings, [pipeline], tasks, kafka)
        await here.reaches(READ, 1)
        before = int(await here.watcher.fetchval(READ))

        async def work() -> None:
            with watched():
                await here.reaches(READ, size.records)
                await here.reaches(OVER, 1)

        found = await measured(size.records - before, work, here.commits)
        daemon.stop()
    return found


async def _peers(servers: str, size: Size) -> tuple[dict[str, list[Round]], list[str]]:
    found: dict[str, list[Round]] = {}
    notes: list[str] = []
    streamers: dict[str, Streamer] = {"Faust, take(1000)": faust, "Quix Streams": quix}
    for name, streamer in streamers.items():
        try:
            answers = [await streamer(servers, TOPIC, size.peer_records) for _ in range(size.rounds)]
        except Unavailable as error:
            notes.append(f"{name} was not measured: {error}")
        else:
            found[name] = [Round(one["units"], one["seconds"], one["cpu_s"], 0) for one in answers]
    return found, notes


BENCHMARK = Benchmark(
    order="d",
    says="Records through micro-batches, decoded by a stage, beside loops that decode them and write nothing.",
    full=Size(),
    quick=Size(records=6_000, peer_records=2_000, rounds=1, batch=500),
    measure=run,
    goals=[Goal("records/s against the bare loop", "tidemill", "ratio", least=0.8, aim=0.95)],
)
