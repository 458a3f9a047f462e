"""Groups of the embedded broker, which may be led by nobody: its one fault that would leave members without a share.

When the leader of a group leaves while the group is forming (somebody has just joined), the broker goes on taking it
for the leader. It gives out no shares before that one has said whose they are, and elects no other: for ever. A leader
that dies, or leaves a group that is formed, is forgotten as it should be, and so is one that has joined again: that is
what is done here in its name. Apache Kafka elects another leader at once (GroupMetadata.maybeElectNewLeader).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

logger = logging.getLogger(__name__)

_Send = Callable[[Any], Awaitable[Any]]

# A group is formed when exactly its members have a share, be it one of nothing.
_NOTHING = ConsumerProtocolMemberAssignment(0, [], b"").encode()


def keep_led(consumer: AIOKafkaConsumer) -> None:
    """Have a started consumer see to it, each time that it joins its group, that somebody leads it."""
    coordinator: Any = consumer._coordinator
    coordinator._send_req = partial(_ask, coordinator._send_req, coordinator._closing)


async def _ask(send: _Send, closing: asyncio.Future[None], request: Any) -> Any:
    answer = await send(request)
    if isinstance(request, JoinGroupRequest):
        while not closing.done() and await _is_led_by_nobody(send, request, answer):
            answer = await send(request)
        if closing.done():
            await _leave(send, request._group, answer)
            raise GroupCoordinatorNotAvailableError
    elif isinstance(request, SyncGroupRequest) and closing.done():
        # Of its first generation, which is number 0, the client takes itself for no member.
        await send(LeaveGroupRequest(request._group, request._member_id))
    return answer


async def _is_led_by_nobody(send: _Send, request: JoinGroupRequest, answer: Any) -> bool:
    """Whether the leader has left. Then one of the members ends that: several would keep it a member between them."""
    if answer.error_code or answer.leader_id in ("", answer.member_id):
        return False
    members = await _members(send, request._group)
    if answer.leader_id in members:
        return False
    if answer.member_id == min(members, default=""):
        logger.info("group %s is led by %s, which has left: ending that", request._group, answer.leader_id)
        times, protocols = (request._session_timeout, request._rebalance_timeout), request._group_protocols
        rejoin = JoinGroupRequest(request._group, *times, answer.leader_id, None, request._protocol_type, protocols)
        joined = await send(rejoin)
        # That may have taken as long as our own session lasts.
        await send(HeartbeatRequest(request._group, answer.generation_id, answer.member_id))
        await _leave(send, request._group, joined)
    return True


async def _members(send: _Send, group: str) -> Sequence[str]:
    [described] = (await send(DescribeGroupsRequest([group]))).to_object()["groups"]
    return [member["member_id"] for member in described["members"]]


async def _leave(send: _Send, group: str, joined: Any) -> None:
    """Leave a group that has just been joined. Its leader forms it first, to be forgotten."""
    identity = (joined.generation_id, joined.member_id)
    if joined.leader_id == joined.member_id and not (await send(HeartbeatRequest(group, *identity))).error_code:
        shares = [(member, _NOTHING) for member in await _members(send, group)]
        await send(SyncGroupRequest(group, *identity, None, shares))
    await send(LeaveGroupRequest(group, joined.member_id))
