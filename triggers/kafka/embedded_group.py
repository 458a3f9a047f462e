"""Groups of the embedded broker, which may be led by nobody: its one fault that would leave members without a share.

When the leader of a group leaves while the group is forming (somebody has just joined), the broker goes on taking it
for the leader. It gives out no shares before that one has said whose they are, and elects no other: for ever. A leader
that dies, or leaves a group that is formed, is forgotten as it should be, and so is one that has joined again: that is
what is done here in its name. Apache Kafka elects another leader at once (GroupMetadata.maybeElectNewLeader).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

logger = logging.getLogger(__name__)

_Send = Callable[[Any], Awaitable[Any]]

# A group is formed when all of its members have a share, be it one of nothing.
_NOTHING = ConsumerProtocolMemberAssignment(0, [], b"").encode()


def keep_led(consumer: AIOKafkaConsumer) -> None:
    """Have a started consumer see to it, each time that it joins its group, that somebody leads it."""
    coordinator: Any = consumer._coordinator
    coordinator._send_req = partial(_ask, coordinator._send_req)


async def _ask(send: _Send, request: Any) -> Any:
    answer = await send(request)
    if isinstance(request, JoinGroupRequest):
        while not answer.error_code and answer.leader_id not in ("", answer.member_id):
            members = await _members(send, request._group)
            if answer.leader_id in members:
                break
            # One does it: several would keep it a member between them.
            if answer.member_id == min(members, default=""):
                logger.info("group %s is led by %s, which has left: ending that", request._group, answer.leader_id)
                await _leave_again(send, request, answer.leader_id)
            answer = await send(request)
    return answer


async def _members(send: _Send, group: str) -> Collection[str]:
    [described] = (await send(DescribeGroupsRequest([group]))).to_object()["groups"]
    return [member["member_id"] for member in described["members"]]


async def _leave_again(send: _Send, request: JoinGroupRequest, leader: str) -> None:
    """Join as the leader that has left, form the group, and leave it now."""
    times, protocols = (request._session_timeout, request._rebalance_timeout), request._group_protocols
    join = JoinGroupRequest(request._group, *times, leader, None, request._protocol_type, protocols)
    joined = await send(join)
    shares = [(member[0], _NOTHING) for member in joined.members]
    await send(SyncGroupRequest(request._group, joined.generation_id, leader, None, shares))
    await send(LeaveGroupRequest(request._group, leader))
