"""One record, one event: whatever is sent, redelivered, refused, killed or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from tests.broker.seam import (
    Killed,
    RecordingInbox,
    access_to,
    create_topic,
    death_of,
    listener_of,
    listening,
    produce,
    told,
)
from triggers import KafkaArrivals
from triggers.base import Arrival, Fate, ListenerState, Position, Receipt
from triggers.errors import InboxBusy, InvalidTrigger
from triggers.marked import hidden

NUMBERS = [b'{"number": %d}' % number for number in range(100)]


def numbers(inbox: RecordingInbox) -> list[int]:
    """The numbers accepted, in order."""
    return [arrival.event.data["number"] for arrival in inbox.events.values()]


async def test_a_record_is_known_by_its_place(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce(kafka, topic, [b'{"month": 2}'], key=b"flights")
    async with listening(listener_of([KafkaArrivals(topic, params={"month": "data.month"})], access, inbox)):
        (arrival,) = await inbox.until_events(1)
    ((scope, key),) = inbox.offsets()
    cluster = scope.split(":")[1]
    event = arrival.event
    assert (event.source, event.id, event.type) == (f"kafka:{cluster}/{topic}", "0/0", "dev.tidemill.kafka.record")
    assert (event.subject, event.data) == ("flights", {"month": 2})
    assert [(offer.fate, offer.params) for offer in arrival.offers] == [(Fate.RAN, {"month": 2})]
    assert (scope, key, inbox.stored[scope, key]) == (
        f"kafka:{cluster}:{access.group_prefix}.arrivals",
        f"{topic}/0",
        "1",
    )


async def test_what_cannot_be_read_is_dead_and_the_partition_moves_on(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    cloudevent = {"specversion": b"1.0", "source": b"/sensors", "type": b"reading", "id": b"1"}
    await produce(kafka, topic, [b"\xff\xfe"])
    await produce(kafka, topic, [b"{}"], headers=[("ce_specversion", b"1.0"), ("ce_id", b"1")])
    await produce(kafka, topic, [b"21"], headers=[(f"ce_{name}", value) for name, value in cloudevent.items()])
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        arrivals = await inbox.until_events(3)
    assert [(arrival.event.data, arrival.offers[0].fate) for arrival in arrivals[:2]] == [
        (b"\xff\xfe", Fate.DEAD),
        (b"{}", Fate.DEAD),
    ]
    assert (arrivals[2].event.source, arrivals[2].event.id) == ("/sensors", "1")
    assert arrivals[2].offers[0].fate is Fate.RAN


async def test_what_any_trigger_of_a_topic_marks_is_marked_and_nothing_is_told_of_what_cannot_be_read(
    kafka: str, topic: str
) -> None:
    inbox = RecordingInbox()
    await produce(kafka, topic, [b'{"token": "canary", "month": 2}', b'{"token": %s}' % (b"7" * 30)])
    triggers = [KafkaArrivals(topic, params={"month": "data.month"}), KafkaArrivals(topic, secrets=["data.token"])]
    async with listening(listener_of(triggers, access_to(kafka), inbox)):
        good, bad = await inbox.until_events(2)
    assert good.event.data == {"token": "canary", "month": 2}
    assert [one.event.extensions["tidemillsecrets"] for one in (good, bad)] == ["data.token"] * 2
    assert hidden(good.event).data == {"token": "***", "month": 2}
    assert hidden(bad.event).data == "***"
    assert {one.reason for one in bad.offers} == {"not JSON: what is wrong with it is not told, for it holds secrets"}
    assert good.offers[0].params == {"month": 2}


async def test_large_records_are_accepted_a_few_at_a_time(kafka: str, topic: str) -> None:
    """So that one transaction does not hold hundreds of megabytes."""
    inbox, sizes = RecordingInbox(), []
    take = inbox.accept

    async def accept(arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        sizes.append(sum(len(arrival.event.data) for arrival in arrivals))
        return await take(arrivals, positions)

    inbox.accept = accept  # type: ignore[method-assign]
    await produce(kafka, topic, [b'"%s"' % (b"x" * 900_000)] * 12)
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        await inbox.until_events(12)
    assert sum(sizes) == 12 * 900_000
    assert max(sizes) <= 4 * 1024 * 1024


def test_triggers_that_read_a_topic_differently_are_refused() -> None:
    triggers = [KafkaArrivals("t"), KafkaArrivals("t", value="text")]
    with pytest.raises(InvalidTrigger, match="p0/kafka:t reads topic 't' with value='json', p1/kafka:t with"):
        listener_of(triggers, access_to("127.0.0.1:1"), RecordingInbox())


async def test_one_consumer_offers_each_record_to_every_trigger_of_its_topic(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    first, second, inbox = make_topic(), make_topic(), RecordingInbox()
    triggers = [
        KafkaArrivals(first),
        KafkaArrivals(first, name="evens", where={"data.number": [0, 2]}),
        KafkaArrivals(second),
    ]
    await produce(kafka, first, NUMBERS[:2])
    await produce(kafka, second, NUMBERS[:1])
    async with listening(listener_of(triggers, access_to(kafka), inbox)):
        arrivals = await inbox.until_events(3)
    fates = {
        (arrival.event.source.rpartition("/")[2], arrival.event.data["number"]): [
            (offer.pipeline, offer.fate) for offer in arrival.offers
        ]
        for arrival in arrivals
    }
    assert fates == {
        (first, 0): [("p0", Fate.RAN), ("p1", Fate.RAN)],
        (first, 1): [("p0", Fate.RAN), ("p1", Fate.IGNORED)],
        (second, 0): [("p2", Fate.RAN)],
    }


async def test_partitions_are_each_read_in_order(kafka: str, make_topic: Callable[..., str]) -> None:
    inbox, topic = RecordingInbox(), make_topic(3)
    for partition in range(3):
        await produce(kafka, topic, NUMBERS * 20, partition=partition)
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        await inbox.until_events(6000)
    by_partition: dict[str, list[int]] = {}
    for arrival in inbox.events.values():
        partition, _, offset = arrival.event.id.partition("/")
        by_partition.setdefault(partition, []).append(int(offset))
    assert by_partition == {partition: list(range(2000)) for partition in "012"}


async def test_a_kill_around_the_commit_neither_loses_nor_doubles(kafka: str, make_topic: Callable[..., str]) -> None:
    before, after = RecordingInbox(), RecordingInbox()

    async def die_and_live_on(inbox: RecordingInbox, deaths: list[Exception]) -> None:
        topic, access = make_topic(), access_to(kafka)
        async with listening(listener_of([KafkaArrivals(topic)], access, inbox)):
            await inbox.until(lambda: len(inbox.offsets()) == 1)
        await produce(kafka, topic, NUMBERS)
        deaths.append(Killed())
        await death_of(listener_of([KafkaArrivals(topic)], access, inbox))
        async with listening(listener_of([KafkaArrivals(topic)], access, inbox)):
            await inbox.until_events(len(NUMBERS))
            await produce(kafka, topic, [b'{"number": 100}'])
            await inbox.until_events(len(NUMBERS) + 1)

    await asyncio.gather(die_and_live_on(before, before.refuse), die_and_live_on(after, after.die_after))
    assert numbers(before) == numbers(after) == list(range(101))
    assert before.repeats == after.repeats == 0


async def test_kafka_waits_while_the_inbox_is_busy(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    inbox.refuse += [InboxBusy("its queue is full", retry_after_s=0.05) for _ in range(3)]
    await produce(kafka, topic, NUMBERS)
    listener = listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)
    async with listening(listener):
        note = await told(listener, ListenerState.RETRYING)
        await inbox.until_events(len(NUMBERS))
        await told(listener, ListenerState.LISTENING)
    assert "its queue is full" in note
    assert numbers(inbox) == list(range(100))


async def test_a_position_that_somebody_else_moved_is_read_on_from(kafka: str, topic: str) -> None:
    """What a zombie of a lost lease sees: its position is gone ahead."""
    inbox = RecordingInbox()
    await produce(kafka, topic, NUMBERS[:1])
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        await inbox.until_events(1)
        (place,) = inbox.offsets()
        inbox.stored[place] = "40"
        await produce(kafka, topic, NUMBERS[1:])
        await inbox.until_events(61)
    assert numbers(inbox) == [0, *range(40, 100)]


async def test_latest_skips_what_was_there_and_nothing_that_comes(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce(kafka, topic, NUMBERS[:5])
    async with listening(listener_of([KafkaArrivals(topic, start="latest")], access, inbox)):
        await inbox.until(lambda: list(inbox.offsets().values()) == ["5"])
    await produce(kafka, topic, NUMBERS[5:8])
    async with listening(listener_of([KafkaArrivals(topic, start="latest")], access, inbox)):
        await inbox.until_events(3)
    assert numbers(inbox) == [5, 6, 7]


async def test_a_topic_that_is_not_there_is_told_and_holds_nothing_up(kafka: str, topic: str) -> None:
    inbox, late = RecordingInbox(), f"{topic}-late"
    await produce(kafka, topic, NUMBERS[:1])
    listener = listener_of([KafkaArrivals(topic), KafkaArrivals(late)], access_to(kafka), inbox)
    async with listening(listener):
        await inbox.until_events(1)
        here, missing = listener.statuses()
        assert (here.state, here.lag_records) == (ListenerState.LISTENING, 0)
        assert here.last_seen_at is not None
        assert missing.state is ListenerState.RETRYING
        assert f"no topic '{late}': create it" in missing.note
        await create_topic(kafka, late)
        await produce(kafka, late, NUMBERS[1:2])
        await inbox.until_events(2)
        assert (missing.state, missing.note) == (ListenerState.LISTENING, "")


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(kafka: str, topic: str, compression: str) -> None:
    inbox = RecordingInbox()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=50, compression_type=compression)
    await producer.start()
    try:
        sent = [await producer.send(topic, value * 20) for value in (b"1", b"2", b"3")]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    async with listening(listener_of([KafkaArrivals(topic, value="bytes")], access_to(kafka), inbox)):
        arrivals = await inbox.until_events(3)
    assert [one.event.data for one in arrivals] == [b"1" * 20, b"2" * 20, b"3" * 20]
