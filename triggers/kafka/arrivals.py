"""Listens to records: one consumer for all `KafkaArrivals` of all pipelines, one event for each record."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from aiokafka import ConsumerRecord

from triggers.base import Arrival, Binding, Fate, ListenerState, Offer, Surroundings, TriggerStatus
from triggers.errors import InboxBusy, InvalidTrigger, SourceUnavailable
from triggers.event import Event
from triggers.kafka import Start, check_agreement
from triggers.kafka.begin import Beginnings
from triggers.kafka.client import access_of
from triggers.kafka.group import Cursor, Fetched, GroupReader, Membership
from triggers.kafka.lanes import Lanes
from triggers.kafka.letters import DeadLetters, Letter, letters_of, scope_of
from triggers.kafka.records import event_of, source_of, time_of
from triggers.kafka.session import keep_reading
from triggers.kafka.values import FORMATS, ReadValue
from triggers.marked import marked, secrets_of, untold
from triggers.match import arrival
from triggers.schemas.registry import SchemaRegistry, check_packages

_ACCEPT_RECORDS = 500
_ACCEPT_BYTES = 4 * 1024 * 1024
_WAIT_S = 0.5
_REGISTRY_RETRY_S = 2.0


@dataclass(slots=True)
class _Topic:
    """One topic, who listens to it, and where its dead records go."""

    bindings: list[Binding] = field(default_factory=list)
    dead_letters: set[str] = field(default_factory=set)

    @property
    def framed(self) -> bool:
        """Whether its values are framed for a schema registry."""
        return bool(self.bindings[0].trigger.value == "registry")


class ArrivalsListener:
    """Offers every record to each binding of its topic. Partitions are accepted side by side, each in its order."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        check_agreement(bindings)
        self._access = access_of(surroundings, bindings)
        self._surroundings = surroundings
        self._topics: dict[str, _Topic] = {}
        self._statuses: dict[str, TriggerStatus] = {}
        self._reader: GroupReader | None = None
        for binding in bindings:
            topic = self._topics.setdefault(binding.trigger.topic, _Topic())
            topic.bindings.append(binding)
            topic.dead_letters |= {binding.trigger.dead_letter} - {None}
            self._statuses[binding.name] = TriggerStatus(binding.name, binding.trigger.kind)
        targets = {target for topic in self._topics.values() for target in topic.dead_letters}
        self._beginnings = Beginnings(self._access, bindings)
        self._letters = DeadLetters(self._access, surroundings.inbox, surroundings.clock, targets)
        self._registry = self._open_registry()

    async def run(self) -> None:
        """Listen until cancelled."""
        member = Membership(
            access=self._access,
            group=f"{self._access.group_prefix}.arrivals",
            starts={name: _earliest(topic.bindings) for name, topic in self._topics.items()},
            inbox=self._surroundings.inbox,
            clock=self._surroundings.clock,
            tell=self._tell,
            places=self._beginnings,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._letters.run())
            await keep_reading(member, self._serve)

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Lag is that of the partitions this process reads."""
        for name, topic in self._topics.items():
            lag = self._reader.lag(name) if self._reader else None
            for binding in topic.bindings:
                status = self._statuses[binding.name]
                status.lag_records = lag
                if topic.dead_letters and status.state is ListenerState.LISTENING:
                    status.note = self._letters.note
        return list(self._statuses.values())

    def _open_registry(self) -> SchemaRegistry | None:
        framed = [topic.bindings[0].name for topic in self._topics.values() if topic.framed]
        if not framed:
            return None
        check_packages(framed[0])
        if self._access.registry is None:
            raise InvalidTrigger(f"{framed[0]}: there is no schema registry to ask: set TIDEMILL_REGISTRY_URL")
        return SchemaRegistry(self._access.registry)

    async def _serve(self, reader: GroupReader) -> None:
        self._reader = reader
        inherited: set[Cursor] = set()
        try:
            async with asyncio.TaskGroup() as group:
                lanes = Lanes(reader, lambda fetched: self._accept(reader, fetched), group)
                while True:
                    # While the inbox takes some records the next ones come.
                    for one in await reader.poll(_WAIT_S):
                        lanes.put(one)
                    await self._inherit(reader, inherited)
                    await lanes.keep_up()
        finally:
            self._reader = None

    async def _inherit(self, reader: GroupReader, inherited: set[Cursor]) -> None:
        """Forward what those who had our partitions before left of dead records."""
        for cursor in reader.cursors():
            at = cursor.partition
            if cursor in inherited or not self._topics[at.topic].dead_letters:
                continue
            try:
                await self._letters.take_over(scope_of(reader.scope, at.topic, at.partition))
            except InboxBusy:
                return
            inherited.add(cursor)

    async def _accept(self, reader: GroupReader, fetched: Fetched) -> None:
        """Accept one partition's records in bites, until done or until the partition is no longer ours."""
        cursor = fetched.cursor
        for bite in bites(fetched.records):
            read = await self._read(reader, cursor, bite)
            if read is None:
                return
            make = partial(self._arrivals, reader, cursor, bite, read)
            # Values with a schema may be made to take a second each, and the loop must go on.
            arrivals, letters = await asyncio.to_thread(make) if self._topics[cursor.partition.topic].framed else make()
            if letters:
                await self._letters.room()
            beside = [letter.position for letter in letters]
            if not await reader.accept(cursor, arrivals, bite[-1].offset + 1, beside=beside):
                return
            self._letters.put(letters)

    async def _read(self, reader: GroupReader, cursor: Cursor, bite: Sequence[ConsumerRecord]) -> ReadValue | None:
        """What reads these records, once it can. None: their partition was lost meanwhile."""
        topic = self._topics[cursor.partition.topic]
        if self._registry is None or not topic.framed:
            return FORMATS[topic.bindings[0].trigger.value]
        waited = False
        while reader.owns(cursor):
            try:
                await self._registry.ready(record.value for record in bite)
            except SourceUnavailable as away:
                waited = True
                self._tell(ListenerState.RETRYING, str(away), [cursor.partition.topic])
                await self._surroundings.clock.sleep(_REGISTRY_RETRY_S)
            else:
                if waited:
                    self._tell(ListenerState.LISTENING, "", [cursor.partition.topic])
                return self._registry.read
        return None

    def _arrivals(
        self, reader: GroupReader, cursor: Cursor, records: Sequence[ConsumerRecord], read: ReadValue
    ) -> tuple[list[Arrival], list[Letter]]:
        """The events of records, and those among them that are to be forwarded because they are dead."""
        at, now = cursor.partition, self._surroundings.clock.now()
        topic, source = self._topics[at.topic], source_of(reader.cluster, at.topic)
        scope = scope_of(reader.scope, at.topic, at.partition)
        arrivals: list[Arrival] = []
        letters: list[Letter] = []
        begun = self._beginnings.of(at)
        all_from = max(begun.marks.values(), default=0)
        for record in records:
            bindings = topic.bindings
            if record.offset < all_from:
                bindings = [one for one in bindings if begun.marks.get(one.name, 0) <= record.offset]
            if not bindings:
                continue
            event, dead = event_of(record, source, now, read, begun.life)
            arrivals.append(_arrival(event, dead, bindings))
            if dead and topic.dead_letters:
                targets = {one.trigger.dead_letter for one in bindings} - {None}
                letters += letters_of(record, scope, event.id, dead, targets)
        for binding in topic.bindings:
            status = self._statuses[binding.name]
            status.last_seen_at, status.read_until = now, time_of(records[-1].timestamp, now)
        return arrivals, letters

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        for topic in topics:
            for binding in self._topics[topic].bindings:
                status = self._statuses[binding.name]
                status.state, status.note = state, note


def bites(records: Sequence[ConsumerRecord]) -> Iterator[Sequence[ConsumerRecord]]:
    """The records in order, so many at a time that one transaction takes them: by number, and by what they weigh."""
    bite: list[ConsumerRecord] = []
    size_bytes = 0
    for record in records:
        weighs = max(0, record.serialized_value_size)
        if bite and (len(bite) >= _ACCEPT_RECORDS or size_bytes + weighs > _ACCEPT_BYTES):
            yield bite
            bite, size_bytes = [], 0
        bite.append(record)
        size_bytes += weighs
    if bite:
        yield bite


def _arrival(event: Event, dead: str, bindings: Sequence[Binding]) -> Arrival:
    if dead:
        secrets = secrets_of(bindings)
        event, dead = marked(event, secrets), untold(dead) if secrets else dead
        return Arrival(event, [Offer(one.pipeline, one.trigger.name, Fate.DEAD, dead) for one in bindings])
    return arrival(bindings, event)


def _earliest(bindings: Sequence[Binding]) -> Start:
    """Where a topic begins that several triggers read through one position: where the first of them wants it."""
    return "earliest" if any(one.trigger.start == "earliest" for one in bindings) else "latest"
