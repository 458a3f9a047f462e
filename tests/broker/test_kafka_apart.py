"""Batches that the Kafka client cannot read, on a broker: nobody stands still, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from service.settings import Broker
from tests.broker.seam import RecordingInbox, access_to, listener_of, listening, produce
from tests.brokers import chosen
from tests.kafka_batches import NOT_UTF8, batch
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import Fate, OffsetRange
from triggers.kafka.apart import BROKEN
from triggers.kafka.batches import BATCH_TYPE
from triggers.kafka.range_reader import RangeReader


async def put(servers: str, topic: str, raw: bytes) -> None:
    """Have a broker store a batch as it is."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        request = ProduceRequest(None, -1, 5_000, [(topic, [(0, raw)])])
        answer = await client.send(client.get_random_node(), request)
        assert answer.topics[0][1][0][1] == 0
    finally:
        await client.close()


def rot(segment: Path, stored: bytes) -> None:
    """Spoil the first byte of what a broker has stored, as a failing disk does: Apache Kafka takes nothing spoiled."""
    with segment.open("r+b") as file:
        at = file.read().index(stored)
        file.seek(at)
        file.write(bytes([stored[0] ^ 1]))


def batches(inbox: RecordingInbox) -> list[OffsetRange]:
    """The ranges of the batches accepted, without the dead records."""
    found = [one.event for one in inbox.events.values() if one.event.type == BATCH_TYPE]
    return sorted(map(OffsetRange.of, found), key=lambda one: one.first)


async def put_broken(servers: str, topic: str, home: Path) -> None:
    """Offsets 0-1: good; 2-4: one with a bad header; 5-7: a wrong checksum; 8: good; 9-11: another bad header."""
    await produce(servers, topic, [b"{}", b"{}"])
    await put(servers, topic, batch(broken=NOT_UTF8))
    raw = bytearray(batch())
    if chosen() is Broker.APACHE:
        await put(servers, topic, bytes(raw))
        rot(home / "apache-kafka/data" / f"{topic}-0" / f"{0:020}.log", bytes(raw[17:]))
    else:
        raw[17] ^= 1
        await put(servers, topic, bytes(raw))
    await produce(servers, topic, [b"{}"])
    await put(servers, topic, batch(broken=NOT_UTF8, compression=1))


async def test_the_client_itself_gets_no_further(kafka: str, topic: str, session_home: Path) -> None:
    await put_broken(kafka, topic, session_home)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        at = TopicPartition(topic, 0)
        consumer.assign([at])
        consumer.seek(at, 2)
        for _ in range(2):
            with pytest.raises(BROKEN):
                await consumer.getmany(timeout_ms=5_000)
    finally:
        await consumer.stop()


async def test_broken_records_are_dead_and_all_others_run(
    kafka: str, make_topic: Callable[..., str], session_home: Path
) -> None:
    inbox, broken, good, dead = RecordingInbox(), make_topic(), make_topic(), make_topic()
    await put_broken(kafka, broken, session_home)
    await produce(kafka, good, [b"{}"] * 3)
    triggers = [KafkaArrivals(broken, dead_letter=dead), KafkaArrivals(good), KafkaArrivals(dead)]
    async with listening(listener_of(triggers, access_to(kafka), inbox)):
        # Ten of the broken topic, for three offsets are one batch, three of the good one, and three letters.
        await inbox.until_events(16)
        await produce(kafka, broken, [b"{}"])
        await inbox.until_events(17)
    fates = {one.event.id: one.offers[0] for one in inbox.events.values() if one.event.source.endswith(broken)}
    assert {number for number, offer in fates.items() if offer.fate is Fate.DEAD} == {"0/3", "0/7", "0/10"}
    assert {number for number, offer in fates.items() if offer.fate is Fate.RAN} == {
        *(f"0/{number}" for number in (0, 1, 2, 4, 8, 9, 11, 12)),
    }
    assert fates["0/3"].reason == "the name of its header b'\\xff\\xfeME' is not UTF-8"
    assert fates["0/7"].reason == "offsets 5 to 7 are a batch that cannot be read: its checksum is wrong"
    events = {one.event.id: one.event for one in inbox.events.values() if one.event.source.endswith(broken)}
    assert events["0/3"].data == b"1"
    assert "kafkaheaders" in events["0/3"].extensions
    assert events["0/7"].data[61:] == batch()[61:]
    assert {value for (_, key), value in inbox.offsets().items() if key == f"{broken}/0"} == {"13"}
    assert inbox.repeats == 0


async def test_in_micro_batches_they_are_values_that_are_no_rows(kafka: str, topic: str, session_home: Path) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await put_broken(kafka, topic, session_home)
    async with listening(listener_of([KafkaBatches(topic, max_records=5, max_wait_s=0.2, bad="dead")], access, inbox)):
        await inbox.until(lambda: sum(one.count for one in batches(inbox)) == 10)
    assert {one.event.id for one in inbox.events.values() if one.offers[0].fate is Fate.DEAD} >= {"0/7"}
    reader = RangeReader(access)
    try:
        records = [one for span in batches(inbox) for one in await reader.read(span)]
    finally:
        await reader.close()
    assert [one.offset for one in records] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert [one.offset for one in records if "tidemill-unreadable" in dict(one.headers)] == [3, 7, 10]
    assert orjson.loads(records[3].value or b"") == 1


async def test_a_topic_that_begins_with_a_broken_batch_can_be_read_from_its_end(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    await put(kafka, topic, batch(broken=NOT_UTF8))
    async with listening(listener_of([KafkaBatches(topic, start="latest", max_wait_s=0.1)], access_to(kafka), inbox)):
        await inbox.until(lambda: bool(inbox.stored))
        await produce(kafka, topic, [b"{}"])
        await inbox.until_events(1)
    assert [(one.first, one.last) for one in batches(inbox)] == [(3, 3)]
