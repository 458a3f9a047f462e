"""Listens to micro-batches of topics: many records are one event, which says where they are and not what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from aiokafka import TopicPartition

from triggers.base import Arrival, Binding, ListenerState, OffsetRange, Surroundings, TriggerStatus
from triggers.event import Event
from triggers.kafka import KafkaBatches
from triggers.kafka.batch_events import Closed, ahead_note, batch_arrival, close, dead_arrivals, time_of_batch
from triggers.kafka.batch_positions import life_of, offset_of, position_of, topic_of, watermark_of
from triggers.kafka.batch_values import Times
from triggers.kafka.client import access_of
from triggers.kafka.group import Cursor, Fetched, GroupReader, Membership, position_key
from triggers.kafka.kept_records import RecordsView
from triggers.kafka.parsed import Parsed, whole
from triggers.kafka.records import event_of, source_of, time_of
from triggers.kafka.session import keep_reading
from triggers.ranges import Isolation

BATCH_TYPE = "dev.tidemill.kafka.batch"

_WAIT_S = 0.5
_ACCEPT_BATCHES = 500
_ACCEPT_BATCHES_BY_KEY = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are closed together. `size_bytes` is what their values take."""

    records: Sequence[Parsed]
    size_bytes: int


Batches = Sequence[Batch]


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
    """Records of one partition on their way into a batch. `due_at_s` is when the first of them has waited enough.

    `watermark_ms` is that of the batches accepted so far, `life` how often the topic was made anew before, `topic_id`
    its id where the broker tells it.
    """

    cursor: Cursor
    watermark_ms: int | None = None
    life: int = 0
    topic_id: str = ""
    due_at_s: float = 0.0
    records: list[Parsed] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)

    def add(self, records: Sequence[Parsed], due_at_s: float) -> None:
        """Append what was read next."""
        if not self.records:
            self.due_at_s = due_at_s
        self.records += records
        self.sizes_bytes += map(_size_bytes, records)

    def cut(self, trigger: KafkaBatches, now_s: float) -> Batches:
        """Take out the batches that are closed: those that are full, and the rest when it is due."""
        ends = self._ends(trigger)
        if now_s >= self.due_at_s and self.records and (not ends or ends[-1] < len(self.records)):
            ends.append(len(self.records))
        spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        batches = [Batch(self.records[one], sum(self.sizes_bytes[one])) for one in spans]
        if batches:
            del self.records[: ends[-1]], self.sizes_bytes[: ends[-1]]
            self.due_at_s = now_s + trigger.max_wait_s
        return batches

    def _ends(self, trigger: KafkaBatches) -> list[int]:
        """Where full batches end. None holds more than `max_bytes`, unless it is a single record."""
        if sum(self.sizes_bytes) < trigger.max_bytes:
            return list(range(trigger.max_records, len(self.records) + 1, trigger.max_records))
        ends: list[int] = []
        start = size = 0
        for at, size_bytes in enumerate(self.sizes_bytes):
            if at > start and size + size_bytes > trigger.max_bytes:
                ends.append(at)
                start, size = at, 0
            size += size_bytes
            if size >= trigger.max_bytes or at + 1 - start == trigger.max_records:
                ends.append(at + 1)
                start, size = at + 1, 0
        return ends


def _gathering_at(cursor: Cursor, topic_id: str) -> Gathering:
    life = life_of(cursor.stored)
    if cursor.is_anew:
        return Gathering(cursor, life=life + 1, topic_id=topic_id)
    return Gathering(cursor, watermark_of(cursor.stored), life, topic_id or topic_of(cursor.stored))


def _size_bytes(record: Parsed) -> int:
    return len(record.value or b"")


def range_of(
    cluster: str, at: TopicPartition, topic_id: str, isolation: Isolation, records: Sequence[Parsed]
) -> OffsetRange:
    """Where these records of one partition, in the order of their offsets, can be read again."""
    found = OffsetRange(cluster, at.topic, at.partition, records[0].offset, records[-1].offset, len(records))
    return replace(found, isolation=isolation, topic_id=topic_id)


def batch_event(group: str, offsets: OffsetRange, times: Times, now: datetime, life: int = 0) -> Event:
    """The event of a micro-batch. `life` counts how often the topic was made anew: its offsets begin again each time.

    Two members of a group may cut the same records differently, but only one of them moves the position on: so no
    two accepted batches of a group share a record.
    """
    place = f"{group}:{offsets.partition}/{offsets.first}-{offsets.last}"
    return Event(
        source=source_of(offsets.cluster, offsets.topic),
        id=f"{place}~{life}" if life else place,
        type=BATCH_TYPE,
        time=time_of_batch(times, now),
        subject=f"{offsets.topic}/{offsets.partition}",
        data={**offsets.as_data(), "times": times.as_data()},
        datacontenttype="application/json",
    )


def _plain_event(at: TopicPartition, source: str, now: datetime, record: Parsed) -> Event:
    return event_of(whole(record, at), source, now)[0]


class _Batcher:
    """One binding's group: gathers what each partition brings, and accepts what is closed."""

    def __init__(self, binding: Binding, surroundings: Surroundings) -> None:
        self._access = access_of(surroundings, [binding])
        self._binding = binding
        self._trigger: KafkaBatches = binding.trigger
        self._surroundings = surroundings
        self._group = f"{self._access.group_prefix}.batches.{binding.name}"
        self._status = TriggerStatus(binding.name, binding.trigger.kind)
        self._note = self._aside = ""
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
            resume=lambda partition, position: offset_of(position),
            topic_of=topic_of,
            begun_as=lambda offset, topic_id: position_of(offset, None, 0, topic_id),
            isolation=self._trigger.isolation,
            parsed=True,
        )
        await keep_reading(member, self._serve)

    def status(self) -> TriggerStatus:
        self._status.lag_records = self._reader.lag(self._trigger.topic) if self._reader else None
        self._status.note = "; ".join(note for note in (self._note, self._aside) if note)
        return self._status

    async def _serve(self, reader: GroupReader) -> None:
        loop = asyncio.get_running_loop()
        self._reader, self._gathering = reader, {}
        try:
            closed: Sequence[tuple[Gathering, Batches]] = ()
            while True:
                # While the inbox takes these batches the next records come.
                async with asyncio.TaskGroup() as group:
                    for gathering, batches in closed:
                        group.create_task(self._accept(reader, gathering, batches))
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
                topic_id = self._reader.topic_ids.get(at.topic, "") if self._reader else ""
                self._gathering[at] = _gathering_at(one.cursor, topic_id)
            self._gathering[at].add(one.records, now_s + self._trigger.max_wait_s)

    def _cut(self, now_s: float) -> Sequence[tuple[Gathering, Batches]]:
        cut = [(one, one.cut(self._trigger, now_s)) for one in self._gathering.values()]
        return [(gathering, batches) for gathering, batches in cut if batches]

    async def _accept(self, reader: GroupReader, gathering: Gathering, batches: Batches) -> None:
        """Accept one partition's closed batches, until done or until the partition is no longer ours."""
        step = _ACCEPT_BATCHES if self._trigger.by is None else _ACCEPT_BATCHES_BY_KEY
        for start in range(0, len(batches), step):
            bite = batches[start : start + step]
            closing = partial(self._closed, reader.cluster, gathering, bite)
            # Looking into every value takes its time.
            closed, dead = await asyncio.to_thread(closing) if self._trigger.looks_inside else closing()
            self._keep(gathering.cursor.partition, closed, bite)
            arrivals = [*dead, *(self._arrival(reader, gathering, one) for one in closed)]
            next_offset, watermark_ms = bite[-1].records[-1].offset + 1, closed[-1].times.watermark
            position = position_of(next_offset, watermark_ms, gathering.life, gathering.topic_id)
            if not await reader.accept(gathering.cursor, arrivals, next_offset, position):
                return
            gathering.watermark_ms = watermark_ms

    def _closed(
        self, cluster: str, gathering: Gathering, bite: Batches
    ) -> tuple[Sequence[Closed[Parsed]], Sequence[Arrival]]:
        """The batches that these records are, and the dead events among them."""
        now, before = self._surroundings.clock.now(), gathering.watermark_ms
        at = gathering.cursor.partition
        place = partial(range_of, cluster, at, gathering.topic_id, self._trigger.isolation)
        plain = partial(_plain_event, at, source_of(cluster, at.topic), now)
        closed: list[Closed[Parsed]] = []
        dead: list[Arrival] = []
        for batch in bite:
            closed += close(batch.records, self._trigger, before, now, place)
            before = closed[-1].times.watermark
            if self._trigger.bad == "dead":
                dead += dead_arrivals(batch.records, self._binding, plain)
        return closed, dead

    def _keep(self, at: TopicPartition, closed: Sequence[Closed[Parsed]], bite: Batches) -> None:
        """Before their events are accepted, for their runs may start at once."""
        if self._surroundings.fetched is None:
            return
        by_key = self._trigger.by is not None
        sizes = (sum(map(_size_bytes, one.records)) for one in closed) if by_key else (one.size_bytes for one in bite)
        for one, size_bytes in zip(closed, sizes, strict=True):
            self._surroundings.fetched.keep(one.offsets, RecordsView(at.topic, at.partition, one.records), size_bytes)

    def _arrival(self, reader: GroupReader, gathering: Gathering, closed: Closed[Parsed]) -> Arrival:
        self._status.last_seen_at = now = self._surroundings.clock.now()
        self._aside = ahead_note(closed.times, self._trigger) or self._aside
        self._status.read_until = time_of(closed.records[-1].timestamp, now)
        offsets = closed.offsets
        assert isinstance(offsets, OffsetRange)
        event = batch_event(self._group, offsets, closed.times, now, gathering.life)
        shard = f"{reader.scope} {position_key(gathering.cursor.partition)}"
        return batch_arrival(self._binding, event, shard, offsets)

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        self._status.state, self._note = state, note
