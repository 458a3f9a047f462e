"""Two thousand runs of six stages, started through HTTP and Kafka at once, all finish, each stage once and in order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from service.settings import Role
from stages import Event, Pipeline, stage
from tests.db.daemons import daemon, settings
from tests.db.writing import rows, until
from triggers import CloudEvents, KafkaArrivals
from triggers.base import KafkaAccess

EACH = 1000


@stage
def ingest(event: Event) -> int:
    return int(event.data["n"])


@stage
async def features(ingest: int) -> int:
    return ingest + 1


@stage
async def train(features: int) -> int:
    return features + 1


@stage
def evaluate(train: int) -> int:
    return train + 1


@stage(reuse="run")
async def register(evaluate: int) -> int:
    return evaluate + 1


@stage(reuse="run")
async def deploy(register: int) -> int:
    return register + 1


def cloudevent(number: int) -> dict[str, Any]:
    return {"specversion": "1.0", "source": "/ci", "id": str(number), "type": "t", "data": {"n": number}}


async def post(address: str) -> None:
    """Post half of the events, some of them twice."""
    content_type = {"content-type": "application/cloudevents+json"}
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        for first in range(0, EACH, 50):
            numbers = [*range(first, first + 50), first]
            await asyncio.gather(*(tell(client, cloudevent(n), content_type) for n in numbers))


async def tell(client: httpx.AsyncClient, event: dict[str, Any], headers: dict[str, str]) -> None:
    """Once more where the database took too long, as the answer says."""
    answer = await client.post("/api/v1/events", json=event, headers=headers)
    while answer.status_code == 503:
        answer = await client.post("/api/v1/events", json=event, headers=headers)
    assert answer.status_code in (200, 202), answer.text


async def publish(bootstrap: str, topic: str) -> None:
    """Publish the other half."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50)
    await producer.start()
    try:
        for number in range(EACH, 2 * EACH):
            await producer.send(topic, b'{"n": %d}' % number)
        await producer.flush()
    finally:
        await producer.stop()


async def test_every_run_finishes_and_no_stage_starts_before_its_input_is_durable(
    database: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    stages = [ingest, features, train, evaluate, register, deploy]
    six = Pipeline("six", stages, on=[CloudEvents(), KafkaArrivals(topic)])
    given = settings(database, tmp_path, *Role)
    async with daemon(given, six, kafka=KafkaAccess(kafka)) as one:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(post(one.address))
            tasks.create_task(publish(kafka, topic))
        await until(database, 60, "select count(*) >= $1 from runs where state = 'succeeded'", 2 * EACH)
    assert [tuple(row) for row in await rows(database, "select state, count(*) from runs group by 1")] == [
        ("succeeded", 2 * EACH)
    ]
    wrong = await rows(
        database,
        "select run_id from attempts group by run_id"
        " having count(*) <> 6 or array_agg(stage order by finished_at)"
        " <> '{ingest,features,train,evaluate,register,deploy}'",
    )
    assert wrong == []
    results = await rows(
        database,
        "select convert_from(output_inline, 'utf8')::int as n from attempts where stage = 'deploy' order by 1",
    )
    assert [row["n"] for row in results] == [number + 5 for number in range(2 * EACH)]
