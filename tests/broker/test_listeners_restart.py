"""What listens to Kafka dies of an error nobody expected, and starts again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.loops import supervised
from service.loops.supervised import Supervised
from tests.broker.seam import PATIENCE_S, RecordingInbox, access_to, produce
from tests.broker.test_stream import record, stream
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import Binding, ListenerState, Surroundings, Trigger

VALUES = [record(number, "a") for number in range(20)]


def supervised_of(trigger: Trigger, servers: str, inbox: RecordingInbox) -> Supervised:
    kind = trigger.listener()
    assert kind is not None
    around = Surroundings(inbox, SystemClock(), Path(), access_to(servers, create_topics=True))
    return Supervised(partial(kind, [Binding("p", trigger)], around), SystemClock())


@pytest.mark.parametrize("kind", ["arrivals", "batches", "stream"])
async def test_a_consumer_that_dies_starts_again_and_loses_nothing(
    kafka: str, topic: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "FIRST_WAIT_S", 0.2)
    triggers: dict[str, Trigger] = {
        "arrivals": KafkaArrivals(topic),
        "batches": KafkaBatches(topic, max_records=5, max_wait_s=0.2, start="earliest"),
        "stream": stream(topic),
    }
    inbox = RecordingInbox()
    inbox.refuse = [KeyError("nobody expects this"), RuntimeError("nor this")]
    await produce(kafka, topic, VALUES)
    one = supervised_of(triggers[kind], kafka, inbox)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        notes = set()
        async with asyncio.timeout(PATIENCE_S * 2):
            while one.restarts < 2 or one.statuses()[0].state is not ListenerState.LISTENING or not inbox.events:
                notes.add(one.statuses()[0].note.partition(")")[0])
                await asyncio.sleep(0.01)
            while kind == "arrivals" and len(inbox.events) < len(VALUES):
                await asyncio.sleep(0.01)
            while kind == "batches" and sum(one.count for one in inbox.ranges()) < len(VALUES):
                await asyncio.sleep(0.01)
            while one.statuses()[0].lag_s != 0:
                await asyncio.sleep(0.01)
        running.cancel()
    assert {"it stopped (KeyError: 'nobody expects this'", "it stopped (RuntimeError: nor this"} <= notes
    if kind == "batches":
        spans = sorted((one.first, one.last) for one in inbox.ranges())
        assert spans[0][0] == 0
        assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(spans))
