"""How runs go, on a real Kafka topic."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from service.db.sinks import LogEntry
from service.settings import EventMode, Lifecycle
from service.sinks.base import SinkTrouble
from service.sinks.kafka_events import KafkaEvents
from stages import Event, Pipeline, stage
from tests.broker.seam import access_to
from tests.db.daemons import daemon, reached, settings, start
from triggers.cloudevents import from_kafka


@stage
async def add(event: Event) -> int:
    return 1


@pytest.mark.parametrize("mode", list(EventMode))
async def test_each_move_of_a_run_is_a_record_in_its_order(
    database: str, kafka: str, topic: str, tmp_path: Path, mode: EventMode
) -> None:
    given = dataclasses.replace(settings(database, tmp_path), lifecycle=Lifecycle(topic=topic, mode=mode))
    access = access_to(kafka)
    async with daemon(given, Pipeline("one", [add]), kafka=access) as mill:
        first, second = [await start(mill, "one", name) for name in ("1", "2")]
        for run_id in (first, second):
            await reached(mill, run_id)
        events = await told(kafka, topic, 2)
    for run_id in (first, second):
        mine = [event for event in events if event.subject == f"runs/{run_id}"]
        words = [event.type.rpartition(".")[2] for event in mine]
        assert words[-2:] == ["started", "succeeded"]
        assert len({event.id for event in mine}) == len(mine)


async def test_a_broker_that_is_away_is_trouble_and_no_fault(tmp_path: Path) -> None:
    sink = KafkaEvents("i", access_to("127.0.0.1:9"), "topic", EventMode.STRUCTURED)
    entry = LogEntry("1.1.0", datetime(2026, 1, 1, tzinfo=UTC), {"run": 1, "pipeline": "one", "move": "succeeded"})

    class Nothing:
        async def runs(self, run_ids: Sequence[int]) -> dict[int, Any]:
            return {}

    for _ in range(2):
        with pytest.raises(SinkTrouble, match=r"topic topic: broker 127\.0\.0\.1:9 does not answer"):
            await sink.deliver([entry], Nothing())
    await sink.close()


async def told(kafka: str, topic: str, runs: int) -> list[Any]:
    """Everything on the topic once that many runs have succeeded."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    events = []
    try:
        async with asyncio.timeout(60):
            while sum(event.type.endswith(".succeeded") for event in events) < runs:
                record = await consumer.getone()
                event = from_kafka(record.headers, record.key, record.value)
                assert event is not None
                assert record.key == (event.subject or "").encode()
                events.append(event)
    finally:
        await consumer.stop()
    return events
