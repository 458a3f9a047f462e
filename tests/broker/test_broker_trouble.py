"""What listeners do when the broker leaves, comes back as another one, or is not there at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.broker.seam import RecordingInbox, RestartableBroker, access_to, listener_of, listening, produce, told
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import Listener, ListenerState
from triggers.kafka.client import BrokerLink, close, reading_consumer, writing_producer


async def all_told(listeners: Sequence[Listener], state: ListenerState) -> list[str]:
    return await asyncio.gather(*(told(listener, state) for listener in listeners))


def read(inbox: RecordingInbox) -> list[str]:
    """The next offsets of the partitions that had records."""
    found = [re.split("[~@]", value)[0] for value in inbox.offsets().values()]
    return [offset for offset in found if offset != "0"]


@pytest.fixture
async def broker(home: Path) -> AsyncIterator[RestartableBroker]:
    broker = RestartableBroker(home)
    await broker.start()
    yield broker
    await broker.stop()


async def test_after_a_restart_topics_are_there_again_and_the_new_cluster_is_read_from_its_start(
    broker: RestartableBroker,
) -> None:
    access = access_to(broker.servers, create_topics=True)
    inboxes = [RecordingInbox(), RecordingInbox()]
    triggers = [KafkaArrivals("t"), KafkaBatches("t", max_records=3)]
    listeners = [listener_of([trigger], access, inbox) for trigger, inbox in zip(triggers, inboxes, strict=True)]
    async with listening(listeners[0]), listening(listeners[1]):
        for life in (1, 2):
            await all_told(listeners, ListenerState.LISTENING)
            await produce(broker.servers, "t", [b"1", b"2", b"3"])
            for inbox in inboxes:
                await inbox.until(lambda inbox=inbox, lives=life: read(inbox) == ["3"] * lives)
            if life == 1:
                await broker.stop()
                notes = await all_told(listeners, ListenerState.RETRYING)
                await broker.start()
    assert all(f"broker {broker.servers} does not answer" in note for note in notes)
    for inbox in inboxes:
        assert len({scope.split(":")[1] for scope, _ in inbox.offsets()}) == 2
        assert inbox.repeats == 0


async def test_a_broker_that_is_not_there_yet_is_waited_for(broker: RestartableBroker) -> None:
    await broker.stop()
    inbox = RecordingInbox()
    listener = listener_of([KafkaArrivals("t")], access_to(broker.servers, create_topics=True), inbox)
    async with listening(listener):
        await told(listener, ListenerState.RETRYING)
        await broker.start()
        await told(listener, ListenerState.LISTENING)
        await produce(broker.servers, "t", [b"1"])
        await inbox.until_events(1)


async def test_no_client_of_ours_creates_a_topic_by_asking_for_it(kafka: str, topic: str) -> None:
    """A topic that was deleted stays so: the embedded broker, as many others, creates what it is asked for."""
    access, absent = access_to(kafka), f"{topic}-absent"
    consumer, producer, link = reading_consumer(access), writing_producer(access), BrokerLink(access)
    await link.open()
    await consumer.start()
    await producer.start()
    try:
        for client in (consumer._client, producer.client):
            await client.add_topic(absent)
            await client.force_metadata_update()
        assert absent in (await link.look([absent])).absent
    finally:
        await producer.stop()
        await close(consumer)
        await link.close()
