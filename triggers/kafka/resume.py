"""Where partitions are read on from whose positions tell of one trigger only: from the position, or from the start.

A position names the topic it is of. A topic that was deleted and made anew has another id, however many records it
holds: it is read from its first one. Where the broker tells no ids, only a partition that is shorter shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from triggers.base import ListenerState, Position
from triggers.kafka.client import newest_offsets
from triggers.kafka.member import Membership, Placing, position_key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """Read a partition from `offset`; the inbox holds `stored`, which is of a former topic where this one `is_anew`."""

    offset: int
    stored: str
    is_anew: bool = False


async def resumed(
    member: Membership, reader: Placing, homeless: Sequence[TopicPartition], stored: Mapping[str, str]
) -> dict[TopicPartition, Placed]:
    """Where partitions are read from that have no place yet. Raises one of `TROUBLE`."""
    held = {at: stored[position_key(at)] for at in homeless if position_key(at) in stored}
    found = {at: Placed(member.resume(at, position), position) for at, position in held.items()}
    anew = [at for at, position in held.items() if _is_other(member.topic_of(position), reader, at)]
    anew += await _shorter(member, reader, {at: one for at, one in found.items() if at not in anew})
    for at, oldest in (await reader.oldest(anew)).items():
        note = f"{position_key(at)}: its topic was made anew since offset {found[at].offset}: reading on at {oldest}"
        logger.warning("%s: %s", reader.scope, note)
        member.tell(ListenerState.LISTENING, note, [at.topic])
        found[at] = Placed(oldest, held[at], is_anew=True)
    return found | await _begin(member, reader, [at for at in homeless if at not in held], stored)


def _is_other(topic_id: str, reader: Placing, at: TopicPartition) -> bool:
    now = reader.topic_ids.get(at.topic, "")
    return bool(topic_id and now) and topic_id != now


async def _shorter(
    member: Membership, reader: Placing, placed: Mapping[TopicPartition, Placed]
) -> list[TopicPartition]:
    """Those that end before their position, where no id tells. Brokers other than the embedded one say so themselves
    when they are read from there, and only they are right about it just after an election."""
    unsure = [at for at, one in placed.items() if not (member.topic_of(one.stored) and reader.topic_ids.get(at.topic))]
    if not member.access.embedded or not unsure:
        return []
    ends = await newest_offsets(member.access, unsure)
    return [at for at, end in ends.items() if end < placed[at].offset]


async def _begin(
    member: Membership, reader: Placing, partitions: Sequence[TopicPartition], stored: Mapping[str, str]
) -> dict[TopicPartition, Placed]:
    """Where partitions that were never read begin, and what the inbox then holds of them."""
    known = {key.rpartition("/")[0] for key in stored}
    # Of a topic that we know a partition without a position came later: all of its records are new.
    late = [at for at in partitions if member.starts[at.topic] == "latest" and at.topic not in known]
    begun = {at: Placed(offset, "") for at, offset in (await reader.oldest(set(partitions) - set(late))).items()}
    # Those of the others as well, or they would take theirs for one that came later.
    topics = {at.topic for at in late}
    every = [TopicPartition(topic, number) for topic in topics for number in sorted(reader.partitions[topic])]
    ends = await newest_offsets(member.access, every) if every else {}
    # Found anew after a restart the end would have moved, and what came in between would be lost.
    begins = {at: member.begun_as(offset, reader.topic_ids.get(at.topic, "")) for at, offset in ends.items()}
    moves = [Position(reader.scope, position_key(at), position, expect="") for at, position in begins.items()]
    if moves and await reader.store(moves):
        begun |= {at: Placed(ends[at], begins[at]) for at in late}
    return begun
