"""What a member of a consumer group is told, and how far it has come with each of its partitions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import ConsumerRecord, TopicPartition

from triggers.base import Clock, Inbox, KafkaAccess, ListenerState, Position
from triggers.kafka import Start
from triggers.ranges import Isolation

Tell = Callable[[ListenerState, str, Collection[str]], None]


def _offset_itself(partition: TopicPartition, position: str) -> int:
    return int(position)


def _bare(offset: int, topic_id: str) -> str:
    return str(offset)


def _of_any(position: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Which group reads which topics, and for whom. `tell` hears what becomes of it, by topic.

    `resume` is asked where to read on from what the inbox holds of a partition, `topic_of` of which topic's id that is
    ("": it does not tell), and `begun_as` words what it holds where reading begins; `places`, where there is one,
    decides all of that by itself. `parsed`: what is read are `Parsed` records only.
    """

    access: KafkaAccess
    group: str
    starts: Mapping[str, Start]
    inbox: Inbox
    clock: Clock
    tell: Tell
    resume: Callable[[TopicPartition, str], int] = _offset_itself
    topic_of: Callable[[str], str] = _of_any
    begun_as: Callable[[int, str], str] = _bare
    places: Places | None = None
    isolation: Isolation = "read_committed"
    parsed: bool = False


class Placing(Protocol):
    """A reader, as those see it who place its partitions. See `triggers.kafka.group.GroupReader`."""

    scope: str
    partitions: Mapping[str, frozenset[int]]
    topic_ids: Mapping[str, str]

    async def oldest(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]: ...
    async def store(self, moves: Sequence[Position]) -> bool: ...
    async def stored(self, scope: str) -> Mapping[str, str]: ...


class Places(Protocol):
    """Decides where partitions are read from. See `triggers.kafka.begin`."""

    async def begin(
        self, reader: Placing, partitions: Sequence[TopicPartition], stored: Mapping[str, str]
    ) -> dict[TopicPartition, tuple[int, str]]: ...
    def shrunk(self, partition: TopicPartition) -> None: ...
    def missing(self, topics: Collection[str]) -> None: ...


@dataclass(slots=True, eq=False)
class Cursor:
    """How far one partition was read, for as long as it is ours.

    `stored` is its position in the inbox (`""`: none), `offset` that of the first record not yet accepted, `read` that
    of the first not yet read. `is_anew`: the topic was made anew, and `stored` is of the old one. `held`: what was read
    waits, and nothing is fetched.
    """

    partition: TopicPartition
    stored: str
    offset: int
    read: int
    answered_ms: int | None = None
    answered_at_s: float = 0.0
    is_anew: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, in the order of their offsets, which may have gaps.

    Of a `Membership` that asks for no more than that, they are `Parsed` ones.
    """

    cursor: Cursor
    records: Sequence[ConsumerRecord]


def position_key(partition: TopicPartition) -> str:
    """Under which key of the group's scope the inbox holds the next offset of a partition."""
    return f"{partition.topic}/{partition.partition}"
