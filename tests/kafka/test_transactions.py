"""Records of transactions that were aborted are never seen, and the gaps they leave are no missing records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from aiokafka import AIOKafkaProducer

from tests.broker.seam import RecordingInbox, access_to, listener_of, listening
from triggers import KafkaArrivals, KafkaBatches, StreamFeatures
from triggers.base import OffsetRange
from triggers.kafka.range_reader import RangeReader


@asynccontextmanager
async def transactional(servers: str, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of transactions."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(producer: AIOKafkaProducer, topic: str, values: Sequence[bytes]) -> None:
    """Send within a transaction, and see the broker take it."""
    await asyncio.gather(*[await producer.send(topic, value, partition=0) for value in values])


async def transactions(servers: str, topic: str, good: Sequence[bytes], bad: Sequence[bytes]) -> None:
    """Each of `good` in a transaction of its own, and before each of them all of `bad` in one that is aborted."""
    async with transactional(servers, topic) as producer:
        for value in good:
            await producer.begin_transaction()
            await send(producer, topic, bad)
            await producer.abort_transaction()
            async with producer.transaction():
                await send(producer, topic, [value])


async def test_arrivals_see_what_was_committed(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        await transactions(kafka, topic, [b"1", b"2", b"3"], [b'"aborted"'] * 5)
        await inbox.until_events(3)
        async with transactional(kafka, f"{topic}-more") as producer:
            await producer.begin_transaction()
            await send(producer, topic, [b'"open"'])
            await producer.abort_transaction()
            async with producer.transaction():
                await send(producer, topic, [b"4"])
        await inbox.until_events(4)
    assert [one.event.data for one in inbox.events.values()] == [1, 2, 3, 4]
    assert inbox.repeats == 0


async def test_an_open_transaction_is_waited_for(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        async with transactional(kafka, topic) as producer, transactional(kafka, f"{topic}-other") as other:
            await producer.begin_transaction()
            await send(producer, topic, [b'"first"'])
            async with other.transaction():
                await send(other, topic, [b'"second"'])
            assert not inbox.events
            await producer.commit_transaction()
        await inbox.until_events(2)
    assert [one.event.data for one in inbox.events.values()] == ["first", "second"]


async def test_batches_hold_what_was_committed_and_can_be_read_again(kafka: str, topic: str) -> None:
    seen, all_seen, access = RecordingInbox(), RecordingInbox(), access_to(kafka)
    await transactions(kafka, topic, [b"1", b"2", b"3", b"4"], [b'"aborted"'] * 3)
    committed = KafkaBatches(topic, max_records=2, max_wait_s=0.2)
    uncommitted = KafkaBatches(topic, max_records=2, max_wait_s=0.2, isolation="read_uncommitted")
    async with (
        listening(listener_of([committed], access, seen)),
        listening(listener_of([uncommitted], access_to(kafka), all_seen)),
    ):
        await seen.until(lambda: sum(one.count for one in seen.ranges()) == 4)
        await all_seen.until(lambda: sum(one.count for one in all_seen.ranges()) == 16)
    assert await values(access, seen.ranges()) == [b"1", b"2", b"3", b"4"]
    assert Counter(await values(access, all_seen.ranges()))[b'"aborted"'] == 12


async def values(access: object, ranges: Sequence[OffsetRange]) -> list[bytes | None]:
    """What batches hold, read anew."""
    reader = RangeReader(access)  # type: ignore[arg-type]
    try:
        return [record.value for one in ranges for record in await reader.read(one)]
    finally:
        await reader.close()


async def test_windows_count_what_was_committed(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    stream = StreamFeatures(topic, "k", time="t", window_s=10, grace_s=0, idle_s=None, flush_every_s=0.05)

    def at(time_s: int) -> bytes:
        return orjson.dumps({"t": time_s, "k": "a"})

    async with listening(listener_of([stream], access_to(kafka, create_topics=True), inbox)):
        await transactions(kafka, topic, [at(1), at(2), at(3), at(20)], [at(4)] * 5)
        await inbox.until_events(1)
    [arrival] = inbox.events.values()
    assert arrival.event.data["rows"] == [{"key": "a", "count": 3}]
