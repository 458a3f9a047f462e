"""What only a cluster can do: lose a broker, and move its partitions, under load. Nothing is lost, nothing is doubled.

Producers here are idempotent, so that what was sent is in the topic once, whatever the cluster does: then every value
must be in one event, and in one batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from service.embedded.apache_jars import Jars
from tests.broker.seam import PATIENCE_S, RecordingInbox, access_to, listener_of, listening, produce, told
from tests.kafka.cluster import Cluster
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import KafkaAccess, ListenerState
from triggers.kafka.range_reader import RangeReader

PARTITIONS = 3


@pytest.fixture
async def cluster(home: Path, jars: Jars) -> AsyncIterator[Cluster]:
    cluster = Cluster(jars, home)
    try:
        await cluster.form()
        yield cluster
    finally:
        await cluster.end()


class Load:
    """Sends numbers to all partitions in turn until told to stop; each is in the topic once, or `sent` is too much."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self.sent = 0
        self.enough = asyncio.Event()

    async def run(self) -> None:
        """Send."""
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, enable_idempotence=True, request_timeout_ms=60_000)
        await producer.start()
        try:
            while not self.enough.is_set():
                sending = []
                for _ in range(60):
                    at = self.sent % PARTITIONS
                    sending.append(await producer.send(self._topic, b"%d" % self.sent, partition=at))
                    self.sent += 1
                await asyncio.gather(*sending)
                await asyncio.sleep(0.02)
        finally:
            await producer.stop()

    async def until(self, more: int) -> None:
        """Wait until so many more were taken by the cluster."""
        goal = self.sent + more
        async with asyncio.timeout(60):
            while self.sent < goal:
                await asyncio.sleep(0.05)


async def all_read(access: KafkaAccess, inbox: RecordingInbox) -> list[int]:
    """The numbers in all batches, read anew."""
    reader = RangeReader(access)
    try:
        return [int(one.value or b"") for span in inbox.ranges() for one in await reader.read(span)]
    finally:
        await reader.close()


@pytest.mark.timeout(280)
async def test_brokers_are_killed_under_load_and_their_partitions_move(cluster: Cluster) -> None:
    await cluster.create("t", PARTITIONS)
    access = access_to(cluster.servers)
    arrivals, batches = RecordingInbox(), RecordingInbox()
    load = Load(cluster.servers, "t")
    listeners = [
        listener_of([KafkaArrivals("t")], access, arrivals),
        listener_of([KafkaBatches("t", max_records=50, max_wait_s=0.2)], access, batches),
    ]
    at, led = TopicPartition("t", 0), []
    async with listening(listeners[0]), listening(listeners[1]), asyncio.TaskGroup() as group:
        group.create_task(load.run())
        for _ in range(2):
            await load.until(300)
            led.append(await cluster.leader(at))
            await cluster.kill(led[-1])
            led.append(await cluster.leader(at))
            await load.until(300)
            await cluster.start(led[-2])
            await cluster.in_sync(at, 3)
        load.enough.set()
        async with asyncio.timeout(90):
            while len(arrivals.events) < load.sent or sum(one.count for one in batches.ranges()) < load.sent:
                await asyncio.sleep(0.1)
    assert led[0] != led[1]
    assert led[2] != led[3]
    everything = Counter(range(load.sent))
    assert Counter(one.event.data for one in arrivals.events.values()) == everything
    assert Counter(await all_read(access, batches)) == everything
    # What was sent twice to the inbox was refused by its key or by the position of its partition.
    assert arrivals.repeats == batches.repeats == 0


@pytest.mark.timeout(280)
async def test_partitions_come_and_topics_go(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """A new partition is read from its first record, `latest` or not; a topic made anew is read from its start."""
    await cluster.create("t", 1)
    inboxes = {start: RecordingInbox() for start in ("earliest", "latest")}
    await produce(cluster.servers, "t", [b"0"])
    listeners = {
        start: listener_of(
            [KafkaBatches("t", max_wait_s=0.1, start=start)],  # type: ignore[arg-type]
            access_to(cluster.servers),
            inbox,
        )
        for start, inbox in inboxes.items()
    }
    async with listening(listeners["earliest"]), listening(listeners["latest"]):
        await inboxes["latest"].until(lambda: bool(inboxes["latest"].stored))
        await inboxes["earliest"].until_events(1)
        await cluster.grow("t", 2)
        await cluster.leader(TopicPartition("t", 1))
        await produce(cluster.servers, "t", [b"1", b"2"], partition=1)
        for inbox in inboxes.values():
            await inbox.until(lambda inbox=inbox: spanned(inbox, 1) == (0, 1))
        await cluster.delete("t")
        for listener in listeners.values():
            async with asyncio.timeout(PATIENCE_S):
                while "has no topic 't': create it" not in await told(listener, ListenerState.RETRYING):
                    await asyncio.sleep(0.01)
        await cluster.create("t", 1)
        await cluster.leader(TopicPartition("t", 0))
        await produce(cluster.servers, "t", [b"new"])
        for inbox in inboxes.values():
            await inbox.until(lambda inbox=inbox: any("~1" in one.event.id for one in inbox.events.values()))
    assert caplog.text.count("t/0: its topic was made anew since offset 1: reading on at 0") == 2
    assert {spanned(inbox, 1) for inbox in inboxes.values()} == {(0, 1)}
    assert inboxes["earliest"].repeats == inboxes["latest"].repeats == 0


def spanned(inbox: RecordingInbox, partition: int) -> tuple[int, int] | None:
    """The first and the last offset in batches of a partition."""
    found = [one for one in inbox.ranges() if one.partition == partition]
    return (min(one.first for one in found), max(one.last for one in found)) if found else None
