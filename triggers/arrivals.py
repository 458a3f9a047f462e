"""Listens to records: one consumer for all `KafkaArrivals` of all pipelines, one event for each record."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence

from aiokafka import ConsumerRecord

from triggers.base import Arrival, Binding, Fate, ListenerState, Offer, Surroundings, TriggerStatus
from triggers.event import Event
from triggers.kafka import Start, check_agreement
from triggers.kafka_client import access_of
from triggers.kafka_group import Fetched, GroupReader, Membership
from triggers.kafka_records import ReadRecord, event_of, source_of
from triggers.kafka_session import keep_reading
from triggers.kafka_values import FORMATS
from triggers.match import offer

_ACCEPT_RECORDS = 500
_ACCEPT_BYTES = 4 * 1024 * 1024
_WAIT_S = 0.5


class ArrivalsListener:
    """Offers every record to each binding of its topic. Partitions are accepted side by side, each in its order."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        check_agreement(bindings)
        self._access = access_of(surroundings, bindings)
        self._surroundings = surroundings
        self._by_topic: dict[str, list[Binding]] = {}
        self._statuses: dict[str, TriggerStatus] = {}
        self._reader: GroupReader | None = None
        for binding in bindings:
            self._by_topic.setdefault(binding.trigger.topic, []).append(binding)
            self._statuses[binding.name] = TriggerStatus(binding.name, binding.trigger.kind)

    async def run(self) -> None:
        """Listen until cancelled."""
        member = Membership(
            access=self._access,
            group=f"{self._access.group_prefix}.arrivals",
            starts={topic: _earliest(bindings) for topic, bindings in self._by_topic.items()},
            inbox=self._surroundings.inbox,
            clock=self._surroundings.clock,
            tell=self._tell,
        )
        await keep_reading(member, self._serve)

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Lag is that of the partitions this process reads."""
        for topic, bindings in self._by_topic.items():
            lag = self._reader.lag(topic) if self._reader else None
            for binding in bindings:
                self._statuses[binding.name].lag_records = lag
        return list(self._statuses.values())

    async def _serve(self, reader: GroupReader) -> None:
        self._reader = reader
        try:
            fetched: Sequence[Fetched] = ()
            while True:
                # While the inbox takes these records the next ones come.
                async with asyncio.TaskGroup() as group:
                    for one in fetched:
                        group.create_task(self._accept(reader, one))
                    fetched = await reader.poll(_WAIT_S)
        finally:
            self._reader = None

    async def _accept(self, reader: GroupReader, fetched: Fetched) -> None:
        """Accept one partition's records in bites, until done or until the partition is no longer ours."""
        cursor = fetched.cursor
        topic = cursor.partition.topic
        for bite in bites(fetched.records):
            arrivals = self._arrivals(source_of(reader.cluster, topic), self._by_topic[topic], bite)
            if not await reader.accept(cursor, arrivals, bite[-1].offset + 1):
                return

    def _arrivals(self, source: str, bindings: Sequence[Binding], records: Sequence[ReadRecord]) -> list[Arrival]:
        now = self._surroundings.clock.now()
        for binding in bindings:
            self._statuses[binding.name].last_seen_at = now
        read = FORMATS[bindings[0].trigger.value]
        return [_arrival(*event_of(record, source, now, read), bindings) for record in records]

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        for topic in topics:
            for binding in self._by_topic[topic]:
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
        return Arrival(event, [Offer(one.pipeline, one.trigger.name, Fate.DEAD, dead) for one in bindings])
    return Arrival(event, [offer(one, event) for one in bindings])


def _earliest(bindings: Sequence[Binding]) -> Start:
    """Where a topic begins that several triggers read through one position: where the first of them wants it."""
    return "earliest" if any(one.trigger.start == "earliest" for one in bindings) else "latest"
