"""What stands beside the Kafka listeners in their tests: an inbox that remembers, a producer, a restarting broker."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from service.clock import SystemClock
from service.settings import Broker
from tests.brokers import RestartableBroker as RestartableBroker
from tests.brokers import chosen
from triggers.base import (
    Arrival,
    Binding,
    Inbox,
    KafkaAccess,
    Listener,
    ListenerState,
    OffsetRange,
    Outcome,
    Position,
    Receipt,
    RecordKeeper,
    Surroundings,
    Trigger,
)
from triggers.errors import PositionMoved
from triggers.event import EventKey

PATIENCE_S = 20.0


class Killed(Exception):
    """The daemon ended here."""


class RecordingInbox:
    """The protocol `Inbox` over dictionaries: one event for each key, positions by compare-and-set, all or nothing.

    The next calls of `accept` meet what `refuse` holds instead of being served; those in `die_after` are served and
    never hear of it.
    """

    def __init__(self) -> None:
        self.events: dict[EventKey, Arrival] = {}
        self.repeats = 0
        self.stored: dict[tuple[str, str], str] = {}
        self.refuse: list[Exception] = []
        self.die_after: list[Exception] = []
        self._moved = asyncio.Condition()

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        await asyncio.sleep(0)
        if self.refuse:
            raise self.refuse.pop(0)
        for one in positions:
            if one.expect is not None and self.stored.get((one.scope, one.key), "") != one.expect:
                raise PositionMoved(f"{one.key}: expected {one.expect!r}")
        receipts = [self._take(arrival) for arrival in arrivals]
        self.stored.update({(one.scope, one.key): one.value for one in positions})
        self.stored = {place: value for place, value in self.stored.items() if value}
        async with self._moved:
            self._moved.notify_all()
        if self.die_after:
            raise self.die_after.pop(0)
        return receipts

    async def positions(self, scope: str) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return {key: value for (its_scope, key), value in self.stored.items() if its_scope == scope}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something accepted has made `condition` true."""
        async with asyncio.timeout(PATIENCE_S), self._moved:
            await self._moved.wait_for(condition)

    async def until_events(self, count: int) -> list[Arrival]:
        """Wait for `count` events and return all of them, in the order of their acceptance."""
        await self.until(lambda: len(self.events) >= count)
        return list(self.events.values())

    def offsets(self) -> dict[tuple[str, str], str]:
        """How far each partition was read, without what else the inbox holds of it."""
        return {place: value for place, value in self.stored.items() if not re.search(r":(begun|dead)\b", place[0])}

    def ranges(self) -> list[OffsetRange]:
        """The offset ranges of all batches."""
        return [OffsetRange.of(arrival.event) for arrival in self.events.values()]

    def _take(self, arrival: Arrival) -> Receipt:
        first = arrival.event.key not in self.events
        self.repeats += not first
        self.events.setdefault(arrival.event.key, arrival)
        outcomes = [Outcome(one.pipeline, one.trigger, one.fate, one.reason, None) for one in arrival.offers]
        return Receipt(arrival.event, first, outcomes)


class Door:
    """One member's own way into an inbox that several share; knows how often it was used."""

    def __init__(self, inbox: RecordingInbox) -> None:
        self._inbox = inbox
        self.accepted = 0
        self.positions = inbox.positions

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        receipts = await self._inbox.accept(arrivals, positions)
        self.accepted += 1
        return receipts


def access_to(servers: str, *, create_topics: bool = False) -> KafkaAccess:
    """The broker of the tests, read by groups that no other test uses."""
    return KafkaAccess(
        servers,
        group_prefix=f"test-{uuid.uuid4()}",
        create_topics=create_topics,
        session_s=2.0,
        embedded=chosen() is Broker.TANSU,
    )


def listener_of(
    triggers: Sequence[Trigger], access: KafkaAccess, inbox: Inbox, fetched: RecordKeeper | None = None
) -> Listener:
    """The listener of `triggers`, each as a pipeline p0, p1, ... of its own."""
    bindings = [Binding(f"p{number}", trigger) for number, trigger in enumerate(triggers)]
    kind = triggers[0].listener()
    assert kind is not None
    return kind(bindings, Surroundings(inbox, SystemClock(), Path(), access, fetched))


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[asyncio.Task[None]]:
    """Run a listener, and stop it at the end as a daemon does. What it raised is raised."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.run())
        yield task
        task.cancel()


async def death_of(listener: Listener) -> None:
    """Run a listener until it is `Killed`."""
    with pytest.raises((Killed, ExceptionGroup)) as died:
        async with asyncio.timeout(PATIENCE_S):
            await listener.run()
    assert isinstance(died.value, Killed) or died.group_contains(Killed)


async def told(listener: Listener, state: ListenerState) -> str:
    """The note of the first status, once it says `state`. Polls: a status is only ever looked at."""
    async with asyncio.timeout(PATIENCE_S):
        while (status := listener.statuses()[0]).state is not state:
            await asyncio.sleep(0.005)
    return status.note


async def create_topic(servers: str, name: str, partitions: int = 1) -> None:
    """Create a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def recreate_topic(servers: str, name: str) -> None:
    """Delete a topic and create it again, empty."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([name])
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


@asynccontextmanager
async def producing(servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer; at the end the broker has everything."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20)
    await producer.start()
    try:
        yield producer
        await producer.flush()
    finally:
        await producer.stop()


async def produce(
    servers: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    partition: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Write records and wait until the broker has them."""
    async with producing(servers) as producer:
        for value in values:
            await producer.send(topic, value, key=key, partition=partition, headers=headers)
