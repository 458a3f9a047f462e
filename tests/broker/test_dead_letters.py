"""Dead records are copied to their dead-letter topic, at least once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from tests.broker.seam import (
    Killed,
    RecordingInbox,
    access_to,
    create_topic,
    death_of,
    listener_of,
    listening,
    produce,
)
from triggers import KafkaArrivals
from triggers.errors import InboxBusy, InvalidTrigger


async def copies(servers: str, topic: str, count: int) -> list[ConsumerRecord]:
    """The first so many records of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def letters(inbox: RecordingInbox) -> list[str]:
    """What the inbox holds of dead records."""
    return sorted(key for scope, key in inbox.stored if ":dead:" in scope)


async def test_a_copy_is_the_record_and_says_why_and_from_where(kafka: str, make_topic: Callable[..., str]) -> None:
    inbox, topic, dead = RecordingInbox(), make_topic(), make_topic()
    await produce(kafka, topic, [b"1"])
    await produce(kafka, topic, [b"\xff\0"], key=b"\xfe", headers=[("a", b"1"), ("a", b"2"), ("n", None)])
    await produce(kafka, topic, [None], key=b"k", headers=[("ce_id", b"1")])
    async with listening(listener_of([KafkaArrivals(topic, dead_letter=dead)], access_to(kafka), inbox)):
        first, second = await copies(kafka, dead, 2)
        await inbox.until(lambda: letters(inbox) == [])
    assert (first.key, first.value, list(first.headers[:3])) == (
        b"\xfe",
        b"\xff\0",
        [("a", b"1"), ("a", b"2"), ("n", None)],
    )
    told = dict(first.headers[3:])
    assert told["tidemill-reason"].startswith(b"not JSON: ")
    place = [told[f"tidemill-{name}"] for name in ("topic", "partition", "offset", "event")]
    assert place == [topic.encode(), b"0", b"1", b"0/1"]
    assert int(told["tidemill-timestamp"]) == inbox_time(inbox, "0/1")
    assert (second.value, dict(second.headers)["tidemill-reason"][:18]) == (None, b"broken CloudEvent:")


def inbox_time(inbox: RecordingInbox, event_id: str) -> int:
    [time] = [one.event.time for one in inbox.events.values() if one.event.id == event_id]
    return round(time.timestamp() * 1000)


async def test_a_daemon_that_dies_after_the_commit_leaves_its_letters_to_the_next(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    """Once before anything was copied, once when all was copied and not ticked off."""
    inbox, access, topic, dead = RecordingInbox(), access_to(kafka), make_topic(), make_topic()
    triggers = [KafkaArrivals(topic, dead_letter=dead)]
    async with listening(listener_of(triggers, access, inbox)):
        await inbox.until(lambda: len(inbox.offsets()) == 1)
    await produce(kafka, topic, [b"{", b"["])
    inbox.die_after.append(Killed())
    await death_of(listener_of(triggers, access, inbox))
    assert letters(inbox) == [f"0/{dead}", f"1/{dead}"]
    inbox.refuse.append(Killed())
    await death_of(listener_of(triggers, access, inbox))
    assert letters(inbox) == [f"0/{dead}", f"1/{dead}"]
    async with listening(listener_of(triggers, access, inbox)):
        await inbox.until(lambda: letters(inbox) == [])
    assert [one.value for one in await copies(kafka, dead, 4)] == [b"{", b"[", b"{", b"["]
    assert len(inbox.events) == 2


async def test_each_pipeline_may_have_a_topic_of_its_own_for_dead_records(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    inbox, topic, one, other = RecordingInbox(), make_topic(), make_topic(), make_topic()
    await produce(kafka, topic, [b"{"])
    triggers = [KafkaArrivals(topic, dead_letter=one), KafkaArrivals(topic, dead_letter=other), KafkaArrivals(topic)]
    async with listening(listener_of(triggers, access_to(kafka), inbox)):
        assert [len(await copies(kafka, target, 1)) for target in (one, other)] == [1, 1]


async def test_a_dead_letter_topic_that_is_not_there_is_told_and_holds_the_good_ones_up_no_more_than_must_be(
    kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.kafka.letters.MOST_WAITING", 20)
    monkeypatch.setattr("triggers.kafka.letters._RETRY_S", 0.2)
    inbox, dead = RecordingInbox(), f"{topic}-dead"
    await produce(kafka, topic, [b"{"] * 5 + [b"1"] * 5)
    listener = listener_of([KafkaArrivals(topic, dead_letter=dead)], access_to(kafka), inbox)
    async with listening(listener):
        await inbox.until_events(10)
        async with asyncio.timeout(20):
            while f"no topic '{dead}' for dead records: create it" not in listener.statuses()[0].note:
                await asyncio.sleep(0.02)
        assert listener.statuses()[0].note.startswith("5 dead records wait to be forwarded: ")
        await produce(kafka, topic, [b"["] * 2000)
        await inbox.until(lambda: len(letters(inbox)) >= 20)
        await asyncio.sleep(0.5)
        assert len(letters(inbox)) <= 20 + 500
        await create_topic(kafka, dead)
        await inbox.until(lambda: len(inbox.events) == 2010 and letters(inbox) == [])
        assert (await copies(kafka, dead, 2005))[-1].value == b"["
        assert listener.statuses()[0].note == ""


async def test_letters_are_ticked_off_later_where_the_inbox_is_busy(
    kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.kafka.letters._RETRY_S", 0.2)
    inbox, access, topic, dead = RecordingInbox(), access_to(kafka), make_topic(), make_topic()
    await produce(kafka, topic, [b"{"])
    async with listening(listener_of([KafkaArrivals(topic, dead_letter=dead)], access, inbox)):
        await inbox.until_events(1)
        inbox.refuse += [InboxBusy("full")]
        await inbox.until(lambda: letters(inbox) == [])
    assert len(inbox.events) == 1


def test_a_topic_is_no_dead_letter_topic_of_its_own() -> None:
    with pytest.raises(InvalidTrigger, match="dead_letter is the topic itself"):
        KafkaArrivals("t", dead_letter="t")
    with pytest.raises(InvalidTrigger, match="not a topic name"):
        KafkaArrivals("t", dead_letter="two words")
