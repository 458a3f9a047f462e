"""A range is read exactly, or the error says for ever (gone) or for now (unavailable)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.broker.seam import (
    RecordingInbox,
    RestartableBroker,
    access_to,
    create_topic,
    listener_of,
    listening,
    produce,
    recreate_topic,
)
from triggers import KafkaBatches
from triggers.base import KafkaAccess, OffsetRange
from triggers.errors import RecordsGone, SourceUnavailable
from triggers.kafka.client import BrokerLink
from triggers.kafka.range_reader import RangeReader


async def cluster_of(access: KafkaAccess) -> str:
    link = BrokerLink(access)
    await link.open()
    try:
        return (await link.look(["-"])).cluster
    finally:
        await link.close()


@pytest.fixture
async def access(kafka: str) -> KafkaAccess:
    return access_to(kafka)


@pytest.fixture
async def reader(access: KafkaAccess) -> AsyncIterator[RangeReader]:
    reader = RangeReader(access)
    yield reader
    await reader.close()


@pytest.fixture
async def offsets(access: KafkaAccess, kafka: str, topic: str) -> OffsetRange:
    """Offsets 10 to 19 of thirty."""
    await produce(kafka, topic, (b"%d" % number for number in range(30)), key=b"k", headers=[("h", b"v")])
    return OffsetRange(await cluster_of(access), topic, 0, 10, 19, 10)


async def test_a_range_is_the_same_each_time(reader: RangeReader, offsets: OffsetRange) -> None:
    records = await reader.read(offsets)
    assert [(record.offset, record.value) for record in records] == [(n, b"%d" % n) for n in range(10, 20)]
    first = records[0]
    assert (first.topic, first.partition, first.key, list(first.headers)) == (offsets.topic, 0, b"k", [("h", b"v")])
    assert list(await reader.read(offsets)) == list(records)


async def test_many_stages_read_at_once(reader: RangeReader, offsets: OffsetRange) -> None:
    ranges = [replace(offsets, first=n, last=n, count=1) for n in range(30)]
    found = await asyncio.gather(*(reader.read(one) for one in ranges))
    assert [record.value for records in found for record in records] == [b"%d" % n for n in range(30)]


async def test_a_batch_just_fetched_is_not_fetched_again(access: KafkaAccess, kafka: str, topic: str) -> None:
    inbox, reader = RecordingInbox(), RangeReader(replace(access, bootstrap_servers="127.0.0.1:1"))
    await produce(kafka, topic, [b"a", b"b"])
    trigger = KafkaBatches(topic, max_records=2)
    async with listening(listener_of([trigger], access, inbox, fetched=reader)):
        await inbox.until_events(1)
    assert [record.value for record in await reader.read(inbox.ranges()[0])] == [b"a", b"b"]


async def test_records_that_are_gone_are_gone_for_good(reader: RangeReader, offsets: OffsetRange, kafka: str) -> None:
    wrong = {
        "cluster elsewhere was replaced": replace(offsets, cluster="elsewhere"),
        "no longer has this partition": replace(offsets, partition=7),
        "10 of 11 records are left": replace(offsets, count=11),
        "ends at 30": replace(offsets, first=25, last=34),
    }
    for words, one in wrong.items():
        with pytest.raises(RecordsGone, match=words):
            await reader.read(one)
    await recreate_topic(kafka, offsets.topic)
    with pytest.raises(RecordsGone, match="made anew"):
        await reader.read(offsets)


async def test_a_broker_that_is_away_is_not_the_end_but_a_new_one_is(home: Path) -> None:
    broker = RestartableBroker(home)
    await broker.start()
    access = replace(access_to(broker.servers), embedded=True)
    reader = RangeReader(access)
    try:
        await create_topic(broker.servers, "t")
        await produce(broker.servers, "t", [b"a"])
        offsets = OffsetRange(await cluster_of(access), "t", 0, 0, 0, 1)
        assert [record.value for record in await reader.read(offsets)] == [b"a"]
        await broker.stop()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            await reader.read(offsets)
        await broker.start()
        with pytest.raises(RecordsGone, match=r"was replaced by .*: the embedded broker keeps nothing over its end"):
            await reader.read(offsets)
    finally:
        await reader.close()
        await broker.stop()
