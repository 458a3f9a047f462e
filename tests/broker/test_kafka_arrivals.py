"""One record, one event: whatever is sent, redelivered, refused, killed or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from tests.broker.seam import Killed, RecordingInbox, access_to, create_topic, listener_of, listening, produce, told
from triggers import KafkaArrivals
from triggers.base import Fate, ListenerState
from triggers.errors import InboxBusy

NUMBERS = [b'{"number": %d}' % number for number in range(100)]


def numbers(inbox: RecordingInbox) -> list[int]:
    """The numbers accepted, in order."""
    return [arrival.event.data["number"] for arrival in inbox.events.values()]


async def test_a_record_is_known_by_its_place(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce(kafka, topic, [b'{"month": 2}'], key=b"flights")
    async with listening(listener_of([KafkaArrivals(topic, params={"month": "data.month"})], access, inbox)):
        (arrival,) = await inbox.until_events(1)
    ((scope, key),) = inbox.stored
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


async def test_a_cloudevent_keeps_its_own_identity_in_either_mode(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    attributes = {"specversion": "1.0", "source": "/sensors", "type": "reading"}
    binary = [(f"ce_{name}", value.encode()) for name, value in (attributes | {"id": "binary"}).items()]
    structured = orjson.dumps(attributes | {"id": "structured", "data": {"c": 21}})
    content_type = [("content-type", b"application/cloudevents+json")]
    await produce(kafka, topic, [b'{"c": 20}'], headers=[*binary, ("content-type", b"application/json")])
    await produce(kafka, topic, [structured], headers=content_type)
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        events = [arrival.event for arrival in await inbox.until_events(2)]
    assert [(event.source, event.id, event.data) for event in events] == [
        ("/sensors", "binary", {"c": 20}),
        ("/sensors", "structured", {"c": 21}),
    ]


async def test_what_cannot_be_read_is_dead_with_its_bytes_and_the_partition_moves_on(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    await produce(kafka, topic, [b"\xff\xfe", b"{"])
    await produce(kafka, topic, [b"{}"], headers=[("ce_specversion", b"1.0"), ("ce_id", b"1")])
    await produce(kafka, topic, [b'{"number": 1}'])
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        arrivals = await inbox.until_events(4)
    assert [arrival.offers[0].fate for arrival in arrivals] == [Fate.DEAD, Fate.DEAD, Fate.DEAD, Fate.RAN]
    assert [arrival.event.data for arrival in arrivals] == [b"\xff\xfe", b"{", b"{}", {"number": 1}]
    assert [arrival.offers[0].reason.split(":")[0] for arrival in arrivals] == [
        "not JSON",
        "not JSON",
        "broken CloudEvent",
        "",
    ]


async def test_one_consumer_offers_each_record_to_every_trigger_of_its_topic(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    first, second = make_topic(), make_topic()
    inbox = RecordingInbox()
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


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_around_the_commit_neither_loses_nor_doubles(kafka: str, topic: str, moment: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    (inbox.refuse if moment == "before" else inbox.die_after).append(Killed())
    await produce(kafka, topic, NUMBERS)
    with pytest.raises(ExceptionGroup) as died:
        async with listening(listener_of([KafkaArrivals(topic)], access, inbox)) as task:
            await asyncio.wait([task])
    assert died.group_contains(Killed)
    async with listening(listener_of([KafkaArrivals(topic)], access, inbox)):
        await inbox.until_events(len(NUMBERS))
        await produce(kafka, topic, [b'{"number": 100}'])
        await inbox.until_events(len(NUMBERS) + 1)
    assert numbers(inbox) == list(range(101))
    assert inbox.repeats == 0


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
        (place,) = inbox.stored
        inbox.stored[place] = "40"
        await produce(kafka, topic, NUMBERS[1:])
        await inbox.until_events(61)
    assert numbers(inbox) == [0, *range(40, 100)]


async def test_latest_skips_what_was_there_and_nothing_that_comes(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce(kafka, topic, NUMBERS[:5])
    async with listening(listener_of([KafkaArrivals(topic, start="latest")], access, inbox)):
        await inbox.until(lambda: list(inbox.stored.values()) == ["5"])
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


async def test_partitions_are_each_read_in_order(kafka: str, make_topic: Callable[..., str]) -> None:
    inbox, topic = RecordingInbox(), make_topic(3)
    for partition in range(3):
        await produce(kafka, topic, NUMBERS, partition=partition)
    async with listening(listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)):
        await inbox.until_events(300)
    by_partition: dict[str, list[int]] = {}
    for arrival in inbox.events.values():
        partition, _, offset = arrival.event.id.partition("/")
        by_partition.setdefault(partition, []).append(int(offset))
    assert by_partition == {partition: list(range(100)) for partition in "012"}
