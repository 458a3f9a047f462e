"""The feed of the flights example on a real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from examples.flights import feed
from examples.flights.data import month_of_flights
from examples.flights.landing import live_flights
from stages import Record, Records
from triggers.cloudevents import from_kafka
from triggers.event import Event


async def read(bootstrap: str, topic: str, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def as_event(record: ConsumerRecord) -> Event:
    event = from_kafka(record.headers, record.key, record.value)
    assert event is not None
    return event


async def test_an_announced_month_is_a_cloud_event_that_names_its_file(
    kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "ARRIVALS_TOPIC", topic)
    for _ in range(2):
        await feed.announce_one(tmp_path, kafka, 2)
    path = tmp_path / "landing" / "announced" / "flights-2013-02.parquet"
    first, again = [as_event(record) for record in await read(kafka, topic, 2)]
    assert (first.subject, first.data) == ("flights", {"path": str(path.resolve())})
    assert first.key == again.key
    assert await asyncio.to_thread(lambda: pl.read_parquet(path).height) == 24_951


async def test_live_flights_arrive_as_they_left(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LIVE_TOPIC", topic)
    left = month_of_flights(4).head(30)
    async with feed.kafka_producer(kafka) as producer:
        await feed.stream(producer, left, flights_per_s=1000)
    found = await read(kafka, topic, left.height)
    records = Records([Record(topic, 0, one.offset, one.timestamp, one.key, one.value) for one in found])
    assert live_flights(records.frame()).equals(left)


async def test_a_broker_that_is_not_there_is_told_by_its_address(unused_tcp_port: int, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{unused_tcp_port} does not answer"):
        await feed.feed(tmp_path, f"127.0.0.1:{unused_tcp_port}")
