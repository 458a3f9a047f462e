"""Three brokers of Apache Kafka as one cluster, each to be killed."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from service.embedded.apache import READY, Peer, format_storage, new_cluster_id, order, settings
from service.embedded.apache_jars import Jars
from service.embedded.broker import free_port
from service.embedded.child import Child

# A broker that was killed is given up by the others after this long, instead of nine seconds.
_QUICK = "broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\nreplica.lag.time.max.ms=5000\n"
PATIENCE_S = 60.0


class Cluster:
    """Three brokers, all of them controllers; every topic is on each."""

    def __init__(self, jars: Jars, home: Path) -> None:
        self._jars, self._home = jars, home
        self._peers = [Peer(node, free_port(), free_port()) for node in (1, 2, 3)]
        self._running: dict[int, Child] = {}
        self.servers = ",".join(f"127.0.0.1:{peer.port}" for peer in self._peers)

    async def form(self) -> None:
        """Format the storage of all and start them."""
        cluster_id = new_cluster_id()
        for peer in self._peers:
            self._folder(peer.node).mkdir()
            await format_storage(self._jars, self._folder(peer.node), peer, self._peers, cluster_id)
        async with asyncio.TaskGroup() as starting:
            for peer in self._peers:
                starting.create_task(self.start(peer.node))

    async def start(self, node: int) -> None:
        """Start one broker, or start it again, with what it had."""
        [peer] = [one for one in self._peers if one.node == node]
        folder = self._folder(node)
        (folder / "server.properties").write_text(settings(peer, self._peers) + _QUICK)
        made = order(self._jars, folder, ["kafka.Kafka", "server.properties"], ready=READY)
        self._running[node] = Child(dataclasses.replace(made, stop_signal=signal.SIGKILL))
        await self._running[node].start(PATIENCE_S)

    async def kill(self, node: int) -> None:
        """`kill -9` one."""
        await self._running.pop(node).stop()

    async def end(self) -> None:
        """Kill all that run."""
        for node in list(self._running):
            await self.kill(node)

    async def create(self, topic: str, partitions: int) -> None:
        """A topic of which every broker has a copy, and two must have a record before it is taken."""
        async with self._admin() as admin:
            await admin.create_topics([NewTopic(topic, partitions, 3)])

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        async with self._admin() as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})

    async def delete(self, topic: str) -> None:
        """Delete a topic."""
        async with self._admin() as admin:
            await admin.delete_topics([topic])

    async def leader(self, at: TopicPartition) -> int:
        """Who leads a partition now; it is waited for until somebody does."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                described = await self._described(at)
                if described and described["leader"] in self._running:
                    leader: int = described["leader"]
                    return leader
                await asyncio.sleep(0.1)

    async def in_sync(self, at: TopicPartition, nodes: int) -> None:
        """Wait until so many brokers have all of a partition."""
        async with asyncio.timeout(PATIENCE_S):
            while len((await self._described(at) or {"isr": ()})["isr"]) != nodes:
                await asyncio.sleep(0.1)

    async def _described(self, at: TopicPartition) -> dict[str, Any] | None:
        try:
            async with self._admin() as admin:
                [topic] = await admin.describe_topics([at.topic])
        except (KafkaError, OSError):
            return None
        found = [one for one in topic["partitions"] if one["partition"] == at.partition]
        return found[0] if found else None

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        alive = ",".join(f"127.0.0.1:{peer.port}" for peer in self._peers if peer.node in self._running)
        admin = AIOKafkaAdminClient(bootstrap_servers=alive)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    def _folder(self, node: int) -> Path:
        return self._home / f"broker-{node}"
