"""What a micro-batch trigger can be told: keys, order, event time, what becomes of bad records, over a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from service.model import RunState
from service.settings import Role
from stages import Event, Pipeline, Record, Records, stage
from tests.broker.seam import RecordingInbox, access_to, listener_of, listening, produce, producing, recreate_topic
from tests.db.daemons import daemon, reached, settings
from tests.db.writing import rows
from triggers import KafkaBatches
from triggers.base import Fate, OffsetRange
from triggers.errors import RecordsGone
from triggers.kafka.batch_positions import life_of, offset_of, position_of, topic_of, watermark_of
from triggers.kafka.range_reader import RangeReader
from triggers.micro_batches import Mode, Start


async def produce_keys(servers: str, topic: str, count: int) -> None:
    async with producing(servers) as producer:
        for number in range(count):
            value = b'{"n": %d, "who": "%s"}' % (number, b"abc"[number % 3 : number % 3 + 1])
            await producer.send(topic, value, key=b"k%d" % (number % 2), partition=0, timestamp_ms=1_000_000 + number)


async def test_batches_by_key_hold_each_record_once_and_are_read_back_exactly(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce_keys(kafka, topic, 90)
    await produce(kafka, topic, [b"not json"])
    triggers = [
        KafkaBatches(topic, by=by, max_records=46, max_wait_s=0.5, mode="ordered") for by in ("key", "data.who")
    ]
    async with listening(listener_of(triggers, access, inbox)):
        await inbox.until(lambda: sum(one.count for one in inbox.ranges()) >= 2 * 91)
    reader = RangeReader(access)
    for by in ("key", "data.who"):
        ranges = [one for one in inbox.ranges() if one.by == by]
        offsets: list[int] = []
        for one in ranges:
            records = await reader.read(one)
            assert len(records) == one.count
            offsets += [record.offset for record in records]
        assert sorted(offsets) == list(range(91))
        assert {one.key for one in ranges} == ({"k0", "k1", None} if by == "key" else {"a", "b", "c", None})
    await reader.close()
    sequences = {arrival.offers[0].sequence for arrival in inbox.events.values()}
    assert len(sequences) == 3 + 4


async def test_a_watermark_outlives_a_restart(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = KafkaBatches(topic, max_records=2, max_wait_s=0.2, event_time="data.at", lateness_s=1)
    await produce(kafka, topic, [b'{"at": 10}', b'{"at": 20}'])
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until_events(1)
    [position] = inbox.stored.values()
    assert (offset_of(position), watermark_of(position)) == (2, 19_000)
    await produce(kafka, topic, [b'{"at": 5}', b'{"at": 19.5}'])
    async with listening(listener_of([trigger], access, inbox)):
        arrivals = await inbox.until_events(2)
    assert [arrival.event.data["times"] for arrival in arrivals] == [
        {"first": "1970-01-01T00:00:10.000Z", "last": "1970-01-01T00:00:20.000Z",
         "watermark": "1970-01-01T00:00:19.000Z", "late": 0, "ahead": 0},
        {"first": "1970-01-01T00:00:05.000Z", "last": "1970-01-01T00:00:19.500Z",
         "watermark": "1970-01-01T00:00:19.000Z", "late": 1, "ahead": 0},
    ]  # fmt: skip


async def test_one_record_from_the_future_moves_no_watermark_and_is_told(
    kafka: str, make_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    # Apache Kafka refuses a time more than an hour ahead, unless the topic says otherwise.
    topic = make_topic(settings={"message.timestamp.after.max.ms": str(2**63 - 1)})
    trigger = KafkaBatches(topic, max_records=2, max_wait_s=0.2)
    async with producing(kafka) as producer:
        for timestamp_ms in (4_102_444_800_000, 7_000, 8_000, 4_102_444_800_000):
            await producer.send(topic, b"{}", partition=0, timestamp_ms=timestamp_ms)
    listener = listener_of([trigger], access, inbox)
    async with listening(listener):
        arrivals = await inbox.until_events(2)
        [status] = listener.statuses()
    times = [arrival.event.data["times"] for arrival in arrivals]
    marks = [(one["first"], one["last"], one["watermark"], one["ahead"]) for one in times]
    seven, eight = "1970-01-01T00:00:07.000Z", "1970-01-01T00:00:08.000Z"
    assert marks == [(seven, seven, seven, 1), (eight, eight, eight, 1)]
    assert arrivals[0].event.time.year == 1970
    for told in (status.note, caplog.text):
        assert "the times of 1 records are more than 3600 s (ahead_s) ahead of the clock here" in told


async def test_bad_records_become_dead_events_with_their_bytes_in_the_transaction_of_their_batch(
    kafka: str, topic: str
) -> None:
    inbox = RecordingInbox()
    await produce(kafka, topic, [b'{"n": 1}', b"\xff", b"[1]", b"{}"])
    trigger = KafkaBatches(topic, max_records=4, bad="dead")
    async with listening(listener_of([trigger], access_to(kafka), inbox)):
        dead = await inbox.until_events(3)
    batch = dead.pop()
    assert OffsetRange.of(batch.event).bad == "dead"
    assert [(one.event.id, one.event.data, one.offers[0].fate) for one in dead] == [
        ("0/1", b"\xff", Fate.DEAD), ("0/2", [1], Fate.DEAD),
    ]  # fmt: skip


class Shapes:
    """What stages were given, in each shape."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def pipeline(self, topic: str) -> Pipeline:
        @stage
        def frame(batch: pl.DataFrame) -> int:
            self.seen["frame"] = batch.to_dicts()
            return len(batch)

        @stage
        async def table(batch: pa.Table) -> int:
            self.seen["table"] = batch.to_pylist()
            return len(batch)

        @stage
        async def plain(records: list[dict[str, Any]], event: Event) -> int:
            self.seen["plain"] = records
            return len(records)

        @stage
        async def raw(batch: Sequence[Record], given: Records) -> int:
            self.seen["raw"] = [one.value for one in batch]
            return len(given)

        trigger = KafkaBatches(topic, max_records=3, max_wait_s=5, bad="skip")
        return Pipeline("shapes", [frame, table, plain, raw], on=[trigger])


async def test_stages_get_the_batch_in_the_shape_they_ask_for(
    database: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    shapes = Shapes()
    await produce(kafka, topic, [b'{"n": 1}', b"broken", b'{"n": 2}'])
    given = settings(database, tmp_path, Role.TRIGGERS, Role.EXECUTOR, lease_s=30.0)
    async with daemon(given, shapes.pipeline(topic), kafka=access_to(kafka)) as one, asyncio.timeout(30):
        while not (found := await rows(database, "select id from runs")):
            await asyncio.sleep(0.05)
        assert await reached(one, found[0]["id"]) is RunState.SUCCEEDED
    good = [{"n": 1}, {"n": 2}]
    assert shapes.seen == {
        "frame": good, "table": good, "plain": good, "raw": [b'{"n": 1}', b"broken", b'{"n": 2}'],
    }  # fmt: skip


async def test_records_of_a_topic_made_anew_are_other_batches(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    trigger = KafkaBatches(topic, max_records=5, max_wait_s=0.2)
    await produce(kafka, topic, [b"{}"] * 8)
    async with listening(listener_of([trigger], access_to(kafka), inbox)):
        await inbox.until_events(2)
        await recreate_topic(kafka, topic)
        await produce(kafka, topic, [b"{}"] * 5)
        arrivals = await inbox.until_events(3)
    assert [arrival.event.id.rpartition(":")[2] for arrival in arrivals] == ["0/0-4", "0/5-7", "0/0-4~1"]
    assert inbox.repeats == 0
    [position] = inbox.stored.values()
    assert (offset_of(position), life_of(position)) == (5, 1)


@pytest.mark.parametrize(("start", "mode"), [("earliest", "parallel"), ("latest", "parallel"), ("earliest", "ordered")])
async def test_a_topic_made_anew_while_nobody_listened_is_read_from_its_first_record(
    kafka: str, topic: str, start: Start, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """It has more records than were read of the old one: their number does not tell."""
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = KafkaBatches(topic, max_records=100, max_wait_s=0.2, start=start, mode=mode)
    await produce(kafka, topic, [b"{}"] * 8)
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [8])
    old = inbox.ranges()
    await recreate_topic(kafka, topic)
    await produce(kafka, topic, [b'{"new": 1}'] * 20)
    listener = listener_of([trigger], access, inbox)
    async with listening(listener):
        await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [20])
        [status] = listener.statuses()
    new = inbox.ranges()[len(old) :]
    assert (new[0].first, sum(one.count for one in new)) == (0, 20)
    assert f"{topic}/0: its topic was made anew since offset 8: reading on at 0" in status.note
    assert "made anew since offset 8" in caplog.text
    reader = RangeReader(access)
    assert [len(await reader.read(one)) for one in new] == [one.count for one in new]
    for one in old:
        with pytest.raises(RecordsGone, match="deleted and made anew"):
            await reader.read(one)
    await reader.close()
    async with listening(listener_of([trigger], access, inbox)):
        await produce(kafka, topic, [b"{}"])
        await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [21])
    assert sum(one.count for one in inbox.ranges()[len(old) :]) == 21
    assert inbox.repeats == 0


async def test_a_position_without_an_id_of_its_topic_that_lies_beyond_the_end_is_of_a_former_one(
    kafka: str, topic: str
) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = KafkaBatches(topic, max_records=3, max_wait_s=0.2)
    await produce(kafka, topic, [b"{}"] * 8)
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [8])
    [place] = inbox.stored
    for position, first in (("2001@7", 0), ("8@7", 8)):
        inbox.events.clear()
        inbox.stored[place] = position
        async with listening(listener_of([trigger], access, inbox)):
            await produce(kafka, topic, [b"{}"])
            await inbox.until(lambda: bool(inbox.events))
        assert inbox.ranges()[0].first == first
        assert life_of(inbox.stored[place]) == (first == 0)


async def test_a_partition_of_the_same_topic_that_was_cut_is_read_again_from_its_start(kafka: str, topic: str) -> None:
    """As after an unclean election: nobody can say which of its records came since, and none is to be lost."""
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = KafkaBatches(topic, max_records=3, max_wait_s=0.2)
    await produce(kafka, topic, [b"{}"] * 8)
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [8])
        [place] = inbox.stored
    inbox.events.clear()
    inbox.stored[place] = position_of(2001, 7, 0, topic_of(inbox.stored[place]))
    listener = listener_of([trigger], access, inbox)
    async with listening(listener):
        await inbox.until(lambda: bool(inbox.events))
        assert "the broker has no offset 2001" in listener.statuses()[0].note
    assert inbox.ranges()[0].first == 0
    assert life_of(inbox.stored[place]) == 1
