"""What a stream does when its broker leaves, what it leaves behind, and what it leaves alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.conn import AIOKafkaConnection

from tests.broker.seam import (
    RecordingInbox,
    RestartableBroker,
    access_to,
    create_topic,
    listener_of,
    listening,
    produce,
    told,
)
from triggers import StreamFeatures
from triggers.base import ListenerState
from triggers.errors import InboxBusy
from triggers.stream import session as stream_session

STREAM = StreamFeatures("t", "k", time="t", window_s=10, grace_s=0, idle_s=None, flush_every_s=0.05)


@pytest.fixture
async def broker(home: Path) -> AsyncIterator[RestartableBroker]:
    broker = RestartableBroker(home)
    await broker.start()
    yield broker
    await broker.stop()


def surroundings() -> dict[str, Any]:
    """Everything of the process and the loop that a library might touch."""
    return {
        "threads": set(threading.enumerate()),
        "signals": [signal.getsignal(one) for one in sorted(signal.valid_signals())],
        "streams": (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook),
        "policy": asyncio.get_event_loop_policy(),
        "handler": asyncio.get_running_loop().get_exception_handler(),
        "factory": asyncio.get_running_loop().get_task_factory(),
        "log": (list(logging.root.handlers), logging.root.level),
        "environment": dict(os.environ),
        "files": sorted(path.name for path in Path.cwd().iterdir()),
    }


async def test_after_a_restart_the_new_cluster_is_read_from_its_start(broker: RestartableBroker) -> None:
    inbox = RecordingInbox()
    listener = listener_of([STREAM], access_to(broker.servers, create_topics=True), inbox)
    async with listening(listener):
        for life in (1, 2):
            await told(listener, ListenerState.LISTENING)
            values = [orjson.dumps({"t": time_s, "k": f"life {life}"}) for time_s in (1, 2, 20)]
            await produce(broker.servers, "t", values)
            await inbox.until_events(life)
            if life == 1:
                await broker.stop()
                note = await told(listener, ListenerState.RETRYING)
                await broker.start()
    assert f"broker {broker.servers} does not answer" in note
    rows = [arrival.event.data["rows"] for arrival in inbox.events.values()]
    assert rows == [[{"key": "life 1", "count": 2}], [{"key": "life 2", "count": 2}]]
    assert len({scope.split(":")[1] for scope, _ in inbox.stored}) == 2


async def test_it_leaves_nothing_behind_and_everything_as_it_was(broker: RestartableBroker) -> None:
    before, tasks = surroundings(), asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    inbox = RecordingInbox()
    async with listening(listener_of([STREAM], access_to(broker.servers, create_topics=True), inbox)):
        await produce(broker.servers, "t", [orjson.dumps({"t": time_s, "k": "a"}) for time_s in (1, 20)])
        await inbox.until_events(1)
        await broker.stop()
        ended_at_s = loop.time()
    assert loop.time() - ended_at_s < 15
    assert {task for task in asyncio.all_tasks() if not task.done()} == tasks
    after = surroundings()
    assert after.pop("threads") <= before.pop("threads")
    assert after == before


async def test_while_the_inbox_takes_nothing_kafka_waits(
    broker: RestartableBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_session, "_MOST_SEALED_ROWS", 5)
    tasks, inbox, folded = asyncio.all_tasks(), RecordingInbox(), 8_000
    access = access_to(broker.servers, create_topics=True)
    inbox.refuse += [InboxBusy("full", retry_after_s=0.05)] * 1_000
    await create_topic(broker.servers, "t")
    await produce(broker.servers, "t", [orjson.dumps({"t": at, "k": "a"}) for at in range(folded)])
    listener = listener_of([STREAM], access, inbox)
    async with listening(listener):
        assert "the inbox takes nothing now" in await told(listener, ListenerState.RETRYING)
    assert {task for task in asyncio.all_tasks() if not task.done()} == tasks
    inbox.refuse.clear()
    async with listening(listener):
        await inbox.until_events(folded // 10 - 1)
    assert {arrival.event.data["offsets"]["count"] for arrival in inbox.events.values()} == {10}


async def test_stopped_while_it_starts_it_ends_as_well(broker: RestartableBroker) -> None:
    tasks = asyncio.all_tasks()
    listener = listener_of([STREAM], access_to(broker.servers, create_topics=True), RecordingInbox())
    for pause_s in (0, 0.05):
        async with listening(listener):
            await asyncio.sleep(pause_s)
    async with listening(listener):
        await told(listener, ListenerState.LISTENING)
    assert {task for task in asyncio.all_tasks() if not task.done()} == tasks


async def test_stopped_at_any_of_its_first_requests_it_leaves_no_connection(
    broker: RestartableBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, send = asyncio.all_tasks(), AIOKafkaConnection.send
    reached, left = asyncio.Event(), 0

    def counting(self: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            reached.set()
        return send(self, *args, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", counting)
    for number in range(1, 21):
        reached.clear()
        left = number
        listener = listener_of([STREAM], access_to(broker.servers, create_topics=True), RecordingInbox())
        async with listening(listener), asyncio.timeout(20):
            await reached.wait()
        assert {task for task in asyncio.all_tasks() if not task.done()} == tasks, f"stopped at request {number}"
