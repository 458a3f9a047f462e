"""What listeners do when the broker leaves, comes back as another one, or is not there at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.broker.seam import RecordingInbox, RestartableBroker, access_to, listener_of, listening, produce, told
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import ListenerState, Trigger


@pytest.fixture
async def broker(home: Path) -> AsyncIterator[RestartableBroker]:
    broker = RestartableBroker(home)
    await broker.start()
    yield broker
    await broker.stop()


@pytest.mark.parametrize("trigger", [KafkaArrivals("t"), KafkaBatches("t", max_records=3)], ids=lambda one: one.kind)
async def test_after_a_restart_topics_are_there_again_and_the_new_cluster_is_read_from_its_start(
    broker: RestartableBroker, trigger: Trigger
) -> None:
    inbox = RecordingInbox()
    listener = listener_of([trigger], access_to(broker.servers, create_topics=True), inbox)
    async with listening(listener):
        await told(listener, ListenerState.LISTENING)
        await produce(broker.servers, "t", [b"1", b"2", b"3"])
        await inbox.until(lambda: sum(map(int, inbox.stored.values())) == 3)
        await broker.stop()
        note = await told(listener, ListenerState.RETRYING)
        await broker.start()
        await told(listener, ListenerState.LISTENING)
        await produce(broker.servers, "t", [b"4", b"5", b"6"])
        await inbox.until(lambda: sum(map(int, inbox.stored.values())) == 6)
    assert f"broker {broker.servers} does not answer" in note
    clusters = [scope.split(":")[1] for scope, _ in inbox.stored]
    assert len(set(clusters)) == 2
    assert list(inbox.stored.values()) == ["3", "3"]
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
