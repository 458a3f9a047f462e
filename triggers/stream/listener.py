"""Listens to streams: one Faust application for each binding, built anew whenever its broker was away."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection, Sequence

from aiokafka import TopicPartition

from triggers.base import Binding, ListenerState, Surroundings, TriggerStatus
from triggers.kafka.client import access_of, create_topics
from triggers.kafka.group import GroupReader, Membership
from triggers.kafka.session import keep_trying, open_reader
from triggers.stream.driver import Wiring
from triggers.stream.host import StreamHost
from triggers.stream.session import StreamSession
from triggers.stream.windows import Mark

_NOT_IN_TOPICS = re.compile(r"[^a-zA-Z0-9._-]+")


class StreamListener:
    """Runs one consumer group for each binding."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._streams = [_Stream(binding, surroundings) for binding in bindings]

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.run())

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Lag is that of the partitions this process reads; notes count what is in no window."""
        return [stream.status() for stream in self._streams]


def changelog_of(group: str) -> str:
    """The topic in which a group's open windows are kept."""
    readable = _NOT_IN_TOPICS.sub("-", group)[:200]
    return f"{readable}-{hashlib.blake2b(group.encode(), digest_size=4).hexdigest()}-changelog"


class _Stream:
    """One binding's group, through all its sessions."""

    def __init__(self, binding: Binding, surroundings: Surroundings) -> None:
        self._binding = binding
        self._surroundings = surroundings
        self._access = access_of(surroundings, [binding])
        self._group = f"{self._access.group_prefix}.stream.{binding.name}"
        self._status = TriggerStatus(binding.name, binding.trigger.kind)
        self._note = ""
        self._reader: GroupReader | None = None
        self._session: StreamSession | None = None

    async def run(self) -> None:
        await keep_trying(self._membership(), self._attempt)

    def status(self) -> TriggerStatus:
        if self._session is not None:
            self._status.last_seen_at = self._session.last_seen_at or self._status.last_seen_at
        aside = self._session.note() if self._session is not None else ""
        self._status.note = "; ".join(note for note in (self._note, aside) if note)
        self._status.lag_records = self._reader.lag(self._binding.trigger.topic) if self._reader else None
        return self._status

    def _membership(self) -> Membership:
        trigger = self._binding.trigger
        return Membership(
            access=self._access,
            group=self._group,
            starts={trigger.topic: trigger.start},
            inbox=self._surroundings.inbox,
            clock=self._surroundings.clock,
            tell=self._tell,
            resume=self._resume,
            topic_of=lambda position: Mark.of(position).topic if position else "",
            begun_as=lambda offset, topic_id: Mark(offset, offset, topic=topic_id).as_position(),
        )

    async def _attempt(self) -> None:
        async with open_reader(self._membership()) as reader:
            session = StreamSession(self._binding, self._group, reader, self._surroundings.clock)
            topic = self._binding.trigger.topic
            wiring = Wiring(self._access, reader, topic, await self._changelog(reader), session.fail)
            self._reader, self._session = reader, session
            try:
                await session.run(StreamHost(self._group, wiring, session.fold), embedded=self._access.embedded)
            finally:
                self._reader = self._session = None

    async def _changelog(self, reader: GroupReader) -> str | None:
        """The changelog, created where that is allowed. None where there is none: then more is read again."""
        name = changelog_of(self._group)
        partitions = reader.partitions[self._binding.trigger.topic]
        found = await reader.partitions_of(name)
        if not found and self._access.create_topics:
            settings = {"cleanup.policy": "compact"}
            await create_topics(self._access, [name], partitions=len(partitions), settings=settings)
            found = await reader.partitions_of(name)
        return name if partitions <= found else None

    def _resume(self, partition: TopicPartition, position: str) -> int:
        if self._session is None:
            raise LookupError(f"{partition}: no session reads this")
        return self._session.resume(partition, position)

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        self._status.state, self._note = state, note
