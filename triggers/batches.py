"""Listens to micro-batches of topics: many records are one event, which says where they are and not what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from aiokafka import ConsumerRecord, TopicPartition

from triggers.base import Arrival, Binding, ListenerState, OffsetRange, Surroundings, TriggerStatus
from triggers.event import Event
from triggers.kafka import KafkaBatches
from triggers.kafka_client import access_of
from triggers.kafka_group import Cursor, Fetched, GroupReader, Membership
from triggers.kafka_records import source_of, time_of
from triggers.kafka_session import keep_reading
from triggers.kept_records import RecordsView
from triggers.match import offer

BATCH_TYPE = "dev.tidemill.kafka.batch"

_WAIT_S = 0.5
_ACCEPT_BATCHES = 500
_value_bytes = attrgetter("serialized_value_size")

Batches = Sequence[Sequence[ConsumerRecord]]


class BatchesListener:
    """Runs one consumer group for each binding: batches of one trigger do not wait for those of another."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._batchers = [_Batcher(binding, surroundings) for binding in bindings]

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as group:
            for batcher in self._batchers:
                group.create_task(batcher.run())

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Lag is that of the partitions this process reads."""
        return [batcher.status() for batcher in self._batchers]


@dataclass(slots=True)
class Gathering:
    """Records of one partition on their way into a batch. `due_at_s` is when the first of them has waited enough."""

    cursor: Cursor
    due_at_s: float = 0.0
    size_bytes: int = 0
    records: list[ConsumerRecord] = field(default_factory=list)

    def add(self, records: Sequence[ConsumerRecord], due_at_s: float) -> None:
        """Append what was read next."""
        if not self.records:
            self.due_at_s = due_at_s
        self.records += records
        self.size_bytes += sum(map(_value_bytes, records))

    def cut(self, trigger: KafkaBatches, now_s: float) -> Batches:
        """Take out the batches that are closed: the full ones, and the rest when it is due or too large to keep."""
        rest = len(self.records) % trigger.max_records
        if now_s >= self.due_at_s or self.size_bytes >= trigger.max_bytes:
            rest = 0
        end = len(self.records) - rest
        step = trigger.max_records
        batches = [self.records[start : min(start + step, end)] for start in range(0, end, step)]
        if batches:
            self.records = self.records[end:]
            self.size_bytes = sum(map(_value_bytes, self.records))
            self.due_at_s = now_s + trigger.max_wait_s
        return batches


def range_of(cluster: str, records: Sequence[ConsumerRecord]) -> OffsetRange:
    """Where these records of one partition, in the order of their offsets, can be read again."""
    first, last = records[0], records[-1]
    return OffsetRange(cluster, first.topic, first.partition, first.offset, last.offset, len(records))


def batch_event(group: str, offsets: OffsetRange, time: datetime) -> Event:
    """The event of a micro-batch.

    Two members of a group may cut the same records differently, but only one of them moves the position on: so no
    two accepted batches of a group share a record.
    """
    return Event(
        source=source_of(offsets.cluster, offsets.topic),
        id=f"{group}:{offsets.partition}/{offsets.first}-{offsets.last}",
        type=BATCH_TYPE,
        time=time,
        subject=f"{offsets.topic}/{offsets.partition}",
        data=offsets.as_data(),
        datacontenttype="application/json",
    )


class _Batcher:
    """One binding's group: gathers what each partition brings, and accepts what is closed."""

    def __init__(self, binding: Binding, surroundings: Surroundings) -> None:
        self._access = access_of(surroundings, [binding])
        self._binding = binding
        self._trigger: KafkaBatches = binding.trigger
        self._surroundings = surroundings
        self._group = f"{self._access.group_prefix}.batches.{binding.name}"
        self._status = TriggerStatus(binding.name, binding.trigger.kind)
        self._reader: GroupReader | None = None
        self._gathering: dict[TopicPartition, Gathering] = {}

    async def run(self) -> None:
        member = Membership(
            access=self._access,
            group=self._group,
            starts={self._trigger.topic: self._trigger.start},
            inbox=self._surroundings.inbox,
            clock=self._surroundings.clock,
            tell=self._tell,
        )
        await keep_reading(member, self._serve)

    def status(self) -> TriggerStatus:
        self._status.lag_records = self._reader.lag(self._trigger.topic) if self._reader else None
        return self._status

    async def _serve(self, reader: GroupReader) -> None:
        loop = asyncio.get_running_loop()
        self._reader, self._gathering = reader, {}
        try:
            closed: Sequence[tuple[Cursor, Batches]] = ()
            while True:
                # While the inbox takes these batches the next records come.
                async with asyncio.TaskGroup() as group:
                    for cursor, batches in closed:
                        group.create_task(self._accept(reader, cursor, batches))
                    fetched = await reader.poll(self._wait_s(loop.time()))
                self._gather(fetched, loop.time())
                self._gathering = {at: one for at, one in self._gathering.items() if reader.owns(one.cursor)}
                closed = self._cut(loop.time())
        finally:
            self._reader = None

    def _wait_s(self, now_s: float) -> float:
        return max(0.0, min([_WAIT_S, *(one.due_at_s - now_s for one in self._gathering.values() if one.records)]))

    def _gather(self, fetched: Iterable[Fetched], now_s: float) -> None:
        for one in fetched:
            at = one.cursor.partition
            if at not in self._gathering or self._gathering[at].cursor is not one.cursor:
                self._gathering[at] = Gathering(one.cursor)
            self._gathering[at].add(one.records, now_s + self._trigger.max_wait_s)

    def _cut(self, now_s: float) -> Sequence[tuple[Cursor, Batches]]:
        cut = [(one.cursor, one.cut(self._trigger, now_s)) for one in self._gathering.values()]
        return [(cursor, batches) for cursor, batches in cut if batches]

    async def _accept(self, reader: GroupReader, cursor: Cursor, batches: Batches) -> None:
        """Accept one partition's closed batches, until done or until the partition is no longer ours."""
        for start in range(0, len(batches), _ACCEPT_BATCHES):
            bite = batches[start : start + _ACCEPT_BATCHES]
            arrivals = [self._arrival(reader.cluster, records) for records in bite]
            if not await reader.accept(cursor, arrivals, bite[-1][-1].offset + 1):
                return

    def _arrival(self, cluster: str, records: Sequence[ConsumerRecord]) -> Arrival:
        self._status.last_seen_at = now = self._surroundings.clock.now()
        offsets = range_of(cluster, records)
        # Before the event is accepted, for its run may start at once.
        if self._surroundings.fetched is not None:
            self._surroundings.fetched.keep(offsets, RecordsView(records), sum(map(_value_bytes, records)))
        event = batch_event(self._group, offsets, time_of(records[-1].timestamp, now))
        return Arrival(event, [offer(self._binding, event)])

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        self._status.state, self._status.note = state, note
