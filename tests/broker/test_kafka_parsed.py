"""Micro-batches are read without the copy that the client makes of each record, and miss nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.record.default_records import DefaultRecord

from tests.broker.seam import access_to
from triggers.kafka.client import close, reading_consumer
from triggers.kafka.kept_records import RecordsView
from triggers.kafka.parsed import Parsed, hand_out_parsed, whole


async def read(kafka: str, topic: str, *, as_parsed: bool, count: int = 3) -> Sequence[Parsed]:
    """So many records of the first partition, in however many answers they come."""
    consumer = reading_consumer(access_to(kafka))
    await consumer.start()
    try:
        if as_parsed:
            hand_out_parsed(consumer)
        at = TopicPartition(topic, 0)
        consumer.assign([at])
        consumer.seek(at, 0)
        found: list[Parsed] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += (await consumer.getmany(timeout_ms=1_000)).get(at, ())
        return found
    finally:
        await close(consumer)


async def test_what_is_parsed_has_all_that_the_client_hands_out(kafka: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    await producer.send_and_wait(topic, b"{}", key=b"k", timestamp_ms=1_000, headers=[("h", b"1"), ("h", b"2")])
    await producer.send_and_wait(topic, b'{"a": 1}')
    await producer.send_and_wait(topic, None, key=b"gone")
    await producer.stop()
    plain = await read(kafka, topic, as_parsed=False)
    parsed = await read(kafka, topic, as_parsed=True)
    assert {type(one) for one in plain} == {ConsumerRecord}
    # A newer client that no longer listens makes this fail: then reading is slower, and `parsed.py` is to go.
    assert {type(one) for one in parsed} == {DefaultRecord}
    at = TopicPartition(topic, 0)
    assert [asdict(whole(one, at)) for one in parsed] == [asdict(one) for one in plain]
    assert [whole(one, at) is one for one in plain] == [True] * 3
    assert list(RecordsView(topic, 0, parsed)) == list(RecordsView(topic, 0, plain))
