"""Where several triggers that share one position of a partition begin: each exactly where its `start` says.

Beside a partition's position the inbox holds which triggers have begun on it, and from which offset on each is offered
records. One that is new begins at the oldest record or at the end as of now; where it wants older ones than the
position, the position goes back, and the others are not offered again what they have been offered. What comes after a
trigger began to listen is never skipped: not in a partition that is added, nor in a topic that is created later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
from aiokafka import TopicPartition

from triggers.base import Binding, KafkaAccess, Position
from triggers.kafka.client import newest_offsets
from triggers.kafka.member import Placing, position_key

NOBODY = '{"topic":"","life":0,"from":{}}'
"""What is held of a partition on which nobody has begun."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Which triggers have begun on a partition, each with the first offset it is offered.

    `topic_id` is that of the topic as it was read ("": unknown), `life` how often its offsets began anew before.
    """

    topic_id: str = ""
    life: int = 0
    marks: Mapping[str, int] = field(default_factory=dict)

    def as_position(self) -> str:
        """As the inbox holds it."""
        return orjson.dumps({"topic": self.topic_id, "life": self.life, "from": dict(self.marks)}).decode()

    @classmethod
    def of(cls, position: str) -> Begun:
        """What `as_position` wrote."""
        held = orjson.loads(position)
        return cls(held["topic"], held["life"], held["from"])

    def anew(self, topic_id: str) -> Begun:
        """The same triggers on offsets that begin anew."""
        return Begun(topic_id, self.life + 1, dict.fromkeys(self.marks, 0))


def admit(begun: Begun, at: int | None, wanted: Mapping[str, int]) -> tuple[Begun, int]:
    """Let triggers begin where they want. `at` is where the partition is read on now (None: never read)."""
    first = min(wanted.values())
    if at is None or first >= at:
        return replace(begun, marks={**begun.marks, **wanted}), first if at is None else at
    held = {name: max(mark, at) for name, mark in begun.marks.items()}
    return replace(begun, marks={**held, **wanted}), first


class Beginnings:
    """Places the partitions of a reader's topics, for the triggers that listen to each."""

    def __init__(self, access: KafkaAccess, bindings: Iterable[Binding]) -> None:
        self._access = access
        self._starts: dict[str, dict[str, str]] = {}
        self._begun: dict[TopicPartition, Begun] = {}
        self._shrunk: set[TopicPartition] = set()
        self._awaited: set[str] = set()
        for binding in bindings:
            self._starts.setdefault(binding.trigger.topic, {})[binding.name] = binding.trigger.start

    def of(self, partition: TopicPartition) -> Begun:
        """Who has begun on a partition that was placed."""
        return self._begun[partition]

    def shrunk(self, partition: TopicPartition) -> None:
        """The broker has fewer records than were read."""
        self._shrunk.add(partition)

    def missing(self, topics: Collection[str]) -> None:
        """These topics do not exist yet: whatever they hold later came after we began to listen."""
        self._awaited |= set(topics)

    async def begin(
        self, reader: Placing, partitions: Sequence[TopicPartition], stored: Mapping[str, str]
    ) -> dict[TopicPartition, tuple[int, str]]:
        """Where each is read from, and what the inbox then holds. Those that somebody else placed are left out."""
        scope = begun_scope(reader.scope)
        known = await reader.stored(scope)
        await self._remember_awaited(reader, scope, known)
        oldest = await reader.oldest(partitions)
        ends = [at for at in partitions if self._needs_end(reader, at, stored, known)]
        newest = await newest_offsets(self._access, ends) if ends else {}
        placed: dict[TopicPartition, tuple[int, str]] = {}
        for at in partitions:
            key, held = position_key(at), stored.get(position_key(at), "")
            topic_id = reader.topic_ids.get(at.topic, "")
            begun, offset = self._settled(at, held, known, topic_id, oldest[at], newest.get(at))
            told = begun.as_position()
            if told != known.get(key) or held != str(offset):
                moves = [Position(reader.scope, key, str(offset), expect=held), Position(scope, key, told)]
                if not await reader.store(moves):
                    continue
            self._begun[at], placed[at] = begun, (offset, str(offset))
            self._shrunk.discard(at)
        return placed

    def _needs_end(
        self, reader: Placing, at: TopicPartition, stored: Mapping[str, str], known: Mapping[str, str]
    ) -> bool:
        begun = _begun(at, known)
        strangers = self._strangers(at, stored.get(position_key(at), ""), begun, known)
        late = any(self._begins_late(at, name, known) for name in strangers)
        return late or (at in self._shrunk and _same(begun, reader.topic_ids.get(at.topic, "")))

    def _settled(
        self,
        at: TopicPartition,
        held: str,
        known: Mapping[str, str],
        topic_id: str,
        oldest: int,
        newest: int | None,
    ) -> tuple[Begun, int]:
        begun, offset = _begun(at, known), int(held) if held else None
        if offset is not None and begun.topic_id and topic_id and begun.topic_id != topic_id:
            begun, offset = begun.anew(topic_id), oldest
        elif offset is not None and at in self._shrunk:
            # The same topic was cut: what was read up to its end was accepted. Another, or who knows: all of it is new.
            begun, offset = begun.anew(topic_id), newest if newest is not None else oldest
        elif topic_id:
            begun = replace(begun, topic_id=topic_id)
        strangers = self._strangers(at, held, begun, known)
        if held and position_key(at) not in known:
            begun = replace(begun, marks=dict.fromkeys(self._starts[at.topic], 0))
        if not strangers:
            return begun, oldest if offset is None else offset
        late = newest if newest is not None else oldest
        wanted = {name: late if self._begins_late(at, name, known) else oldest for name in strangers}
        return admit(begun, offset, wanted)

    def _strangers(self, at: TopicPartition, held: str, begun: Begun, known: Mapping[str, str]) -> list[str]:
        """Those who have not begun on a partition. A position that tells nothing of triggers is that of all of them."""
        if held and position_key(at) not in known:
            return []
        return [name for name in self._starts[at.topic] if name not in begun.marks]

    def _begins_late(self, at: TopicPartition, name: str, known: Mapping[str, str]) -> bool:
        """Whether a trigger wants the end, and did not listen already when this partition was not there yet."""
        if self._starts[at.topic][name] == "earliest" or at.topic in self._awaited:
            return False
        if name in orjson.loads(known.get(at.topic, "[]")):
            return False
        others = (key for key in known if key.rpartition("/")[0] == at.topic)
        return not any(name in Begun.of(known[key]).marks for key in others)

    async def _remember_awaited(self, reader: Placing, scope: str, known: Mapping[str, str]) -> None:
        """Who waits for a topic that is not there, for those who find it after us."""
        for topic in sorted(self._starts.keys() - reader.partitions.keys()):
            names = orjson.dumps(sorted(self._starts[topic])).decode()
            if known.get(topic) != names:
                await reader.store([Position(scope, topic, names)])


def begun_scope(reading: str) -> str:
    """Where the inbox holds who has begun on the partitions of a group: by partition, and by topic that is awaited."""
    return f"{reading}:begun"


def _begun(at: TopicPartition, known: Mapping[str, str]) -> Begun:
    told = known.get(position_key(at))
    return Begun() if told is None else Begun.of(told)


def _same(begun: Begun, topic_id: str) -> bool:
    return bool(topic_id) and begun.topic_id == topic_id
