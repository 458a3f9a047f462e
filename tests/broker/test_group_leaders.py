"""Groups of the embedded broker whose leader leaves while they form: the broker itself would wait for it for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import RebalanceInProgressError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from tests.broker.seam import RecordingInbox, access_to, listener_of, listening, produce
from triggers import KafkaArrivals
from triggers.base import KafkaAccess


class Member:
    """One that speaks the protocol itself, and so at the wrong moment."""

    def __init__(self, client: AIOKafkaClient, group: str, topic: str) -> None:
        self._client, self._group = client, group
        [self._node] = [broker.nodeId for broker in client.cluster.brokers()]
        self._protocols = [("roundrobin", RoundRobinPartitionAssignor.metadata([topic]).encode())]
        self.name = self.leader = ""
        self.generation = -1

    async def join(self) -> None:
        """Join, at first only to be named."""
        times = (2_000, 30_000)
        request = JoinGroupRequest(self._group, *times, self.name, None, "consumer", self._protocols)
        answer = await self._client.send(self._node, request)
        self.name, self.leader, self.generation = answer.member_id, answer.leader_id, answer.generation_id

    async def sync(self) -> int:
        """Ask for a share. Returns the code of the error."""
        request = SyncGroupRequest(self._group, self.generation, self.name, None, [])
        error: int = (await self._client.send(self._node, request)).error_code
        return error

    async def members(self) -> set[str]:
        """Ask who is in the group."""
        answer = await self._client.send(self._node, DescribeGroupsRequest([self._group]))
        return {member["member_id"] for member in answer.to_object()["groups"][0]["members"]}

    async def leave(self) -> None:
        """Say that it leaves."""
        await self._client.send(self._node, LeaveGroupRequest(self._group, self.name))


pytestmark = pytest.mark.only_tansu("Apache Kafka elects another leader at once")


@pytest.fixture
async def client(kafka: str) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(bootstrap_servers=kafka)
    await client.bootstrap()
    yield client
    await client.close()


async def leaderless(client: AIOKafkaClient, access: KafkaAccess, topic: str) -> None:
    """Leave the group of `access` to a leader that has left it."""
    leader, other = (Member(client, f"{access.group_prefix}.arrivals", topic) for _ in range(2))
    for member in (leader, leader, other):
        await member.join()
    await leader.leave()
    await other.join()
    assert other.leader == leader.name
    # Should this fail, the broker has learned to elect another leader: then `triggers.kafka.embedded_group` may go.
    assert await other.sync() == RebalanceInProgressError.errno
    await other.leave()


async def test_a_group_whose_leader_left_while_it_formed_is_led_again(
    client: AIOKafkaClient, kafka: str, topic: str
) -> None:
    access, inbox = access_to(kafka), RecordingInbox()
    await leaderless(client, access, topic)
    await produce(kafka, topic, [b"1", b"2"])
    async with asyncio.TaskGroup() as members:
        listeners = [listener_of([KafkaArrivals(topic)], access, inbox) for _ in range(3)]
        tasks = [members.create_task(listener.run()) for listener in listeners]
        await inbox.until_events(2)
        for task in tasks:
            task.cancel()
    assert inbox.repeats == 0


async def test_a_member_that_stops_while_it_joins_is_no_member_afterwards(
    client: AIOKafkaClient, kafka: str, topic: str
) -> None:
    access = access_to(kafka)
    watcher = Member(client, f"{access.group_prefix}.arrivals", topic)
    async with listening(listener_of([KafkaArrivals(topic)], access, RecordingInbox())):
        while not await watcher.members():
            await asyncio.sleep(0.01)
    assert not await watcher.members()
