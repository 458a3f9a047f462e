"""Kafka against the inbox: any record below a position that has neither an event nor a batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from triggers.base import Arrival, Binding, Fate, KafkaAccess, Offer
from triggers.errors import SourceUnavailable
from triggers.event import Event
from triggers.kafka.apart import BROKEN, read_apart
from triggers.kafka.batch_positions import life_of
from triggers.kafka.begin import NOBODY, Begun, begun_scope
from triggers.kafka.client import (
    MISSING,
    TROUBLE,
    BrokerLink,
    Sight,
    close,
    newest_offsets,
    reading_consumer,
    trouble_note,
)
from triggers.kafka.member import position_key
from triggers.kafka.records import event_of, source_of
from triggers.kafka.values import FORMATS, read_bytes
from triggers.marked import marked, untold
from triggers.match import arrival
from triggers.reconcile.reconciled import REMOVED, Ground, Reconciled

# Of each partition, the newest records below its position.
MOST_RECORDS = 20_000
_CHUNK = 1_000
_POLL_MS = 500
_READ_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: what the broker has of it, and how far the inbox is."""

    at: TopicPartition
    oldest: int
    end: int
    position: int | None


@dataclass(frozen=True, slots=True)
class _Broker:
    """A broker that answered."""

    consumer: AIOKafkaConsumer
    sight: Sight
    access: KafkaAccess

    async def read(self, at: TopicPartition, first: int, end: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """The records of one partition from `first` up to, not including, `end`, in bites."""
        if first >= end:
            return
        self.consumer.assign([at])
        self.consumer.seek(at, first)
        try:
            async with asyncio.timeout(_READ_S):
                while await self.consumer.position(at) < end:
                    try:
                        got = await self.consumer.getmany(at, timeout_ms=_POLL_MS, max_records=_CHUNK)
                    except BROKEN as error:
                        start = await self.consumer.position(at)
                        got = await read_apart(self.consumer, {at: start}, "read_committed", error)
                    yield [one for one in got.get(at, ()) if one.offset < end]
        finally:
            self.consumer.pause(at)


async def arrivals(binding: Binding, ground: Ground) -> Reconciled:
    """Every record below the position has an event."""
    found = Reconciled()
    async with opened(ground, binding.trigger.topic) as broker:
        scope = f"kafka:{broker.sight.cluster}:{broker.access.group_prefix}.arrivals"
        known = await ground.inbox.positions(begun_scope(scope))
        for part in await parts_of(broker, binding.trigger.topic, await ground.inbox.positions(scope), found):
            if part.position is None:
                continue
            begun = Begun.of(known.get(position_key(part.at), NOBODY))
            first = max(part.oldest, part.position - MOST_RECORDS, begun.marks.get(binding.name, 0))
            async for records in broker.read(part.at, first, min(part.position, part.end)):
                await _records(binding, ground, broker.sight.cluster, records, found, begun.life)
    return found


async def _records(
    binding: Binding, ground: Ground, cluster: str, records: Sequence[ConsumerRecord], found: Reconciled, life: int
) -> None:
    # What is framed for a schema registry is known by its place, whatever it holds.
    read = FORMATS.get(binding.trigger.value, read_bytes)
    source = source_of(cluster, binding.trigger.topic)
    made = [(one, *event_of(one, source, ground.now, read, life)) for one in records]
    known = await ground.known.keys([event.key for _, event, _ in made])
    found.checked += len(made)
    for record, event, dead in made:
        if event.key not in known:
            what = f"record {record.offset} of {record.topic}/{record.partition}"
            if may_be_removed(ground, record):
                found.lack(what, REMOVED, expected=True)
                continue
            why = "below the position, and without an event: was it removed, or the position moved by hand?"
            found.lack(what, why, _arrival(binding, event, dead))


def may_be_removed(ground: Ground, record: ConsumerRecord) -> bool:
    """Whether retention may have taken its event, by its own time: one that lay there long before counts as old."""
    return ground.may_be_removed(datetime.fromtimestamp(record.timestamp / 1000, ground.now.tzinfo))


def _arrival(binding: Binding, event: Event, dead: str) -> Arrival:
    if not dead:
        return arrival([binding], event)
    why = untold(dead) if binding.trigger.secrets else dead
    dropped = Offer(binding.pipeline, binding.trigger.name, Fate.DEAD, why)
    return Arrival(marked(event, binding.trigger.secrets), [dropped])


async def batches(binding: Binding, ground: Ground) -> Reconciled:
    """Every record between the first batch of that time and the position is in a batch, or dead by itself."""
    found = Reconciled()
    async with opened(ground, binding.trigger.topic) as broker:
        cluster, topic = broker.sight.cluster, binding.trigger.topic
        group = f"{broker.access.group_prefix}.batches.{binding.name}"
        stored = await ground.inbox.positions(f"kafka:{cluster}:{group}")
        events = await ground.known.events(source_of(cluster, topic), ground.after, ground.until)
        covered = _covered(events, group, {key: life_of(position) for key, position in stored.items()})
        for part in await parts_of(broker, topic, stored, found):
            ranges = sorted(covered.get(part.at.partition, ()))
            found.checked += len(ranges)
            for first, end in _gaps(ranges, part):
                async for records in broker.read(part.at, first, end):
                    await _uncovered(binding, ground, cluster, records, found)
    return found


def _covered(events: Sequence[Event], group: str, lives: Mapping[str, int]) -> dict[int, list[tuple[int, int]]]:
    """First and last offset of each batch of a group, by partition, of its topic as it is now (see `batch_event`)."""
    found: dict[int, list[tuple[int, int]]] = {}
    for event in events:
        if event.id.startswith(f"{group}:") and isinstance(event.data, Mapping) and "first_offset" in event.data:
            data = event.data
            if int(event.id.rpartition("/")[2].partition("~")[2] or 0) != lives.get(event.subject or "", 0):
                continue
            found.setdefault(data["partition"], []).append((data["first_offset"], data["last_offset"]))
    return found


def _gaps(ranges: Sequence[tuple[int, int]], part: Part) -> list[tuple[int, int]]:
    """The offsets from `first` to, not including, `end` that lie between batches, or between the last and the position.

    Offsets have gaps of their own (compaction, transactions): only what the broker really has there is missing.
    """
    gaps = []
    reached: int | None = None
    for first, last in ranges:
        if reached is not None and first > reached:
            gaps.append((max(reached, part.oldest), min(first, part.end)))
        reached = max(reached or 0, last + 1)
    if reached is not None and part.position is not None and part.position > reached:
        gaps.append((max(reached, part.oldest), min(part.position, part.end)))
    return gaps


async def _uncovered(
    binding: Binding, ground: Ground, cluster: str, records: Sequence[ConsumerRecord], found: Reconciled
) -> None:
    source = source_of(cluster, binding.trigger.topic)
    keys = {event_of(one, source, ground.now)[0].key: one for one in records}
    known = await ground.known.keys(list(keys))
    for key, record in keys.items():
        if key not in known:
            what = f"record {record.offset} of {record.topic}/{record.partition}"
            if may_be_removed(ground, record):
                found.lack(what, f"in no batch: {REMOVED}", expected=True)
                continue
            found.lack(what, f"in no batch, though the position is past it: tidemill fire {binding.name} makes one")


async def parts_of(broker: _Broker, topic: str, stored: Mapping[str, str], found: Reconciled) -> Sequence[Part]:
    """The partitions of a topic. What is odd about a position is noted, or a lack."""
    numbers = broker.sight.partitions.get(topic, frozenset())
    for key in sorted(stored):
        name, _, number = key.rpartition("/")
        if name == topic and int(number) not in numbers:
            found.lack(f"partition {key}", f"the broker has it no more; the inbox stands at {stored[key]}")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    if not partitions:
        found.notes.append(f"the broker has no topic {topic}")
        return []
    ends = await newest_offsets(broker.access, partitions)
    oldest = await broker.consumer.beginning_offsets(partitions)
    parts = [Part(at, oldest[at], ends[at], _offset(stored.get(f"{topic}/{at.partition}"))) for at in partitions]
    for part in parts:
        _told(part, found)
    return parts


def _told(part: Part, found: Reconciled) -> None:
    name = f"{part.at.topic}/{part.at.partition}"
    if part.position is None:
        found.notes.append(f"{name}: not read yet, the broker has {part.end - part.oldest} offsets")
    elif part.position > part.end:
        why = f"the inbox stands at {part.position}, the broker's partition ends at {part.end}: its topic was made anew"
        found.lack(f"partition {name}", why)
    else:
        found.notes.append(f"{name}: at {part.position} of {part.end}, lag {part.end - part.position}")


def _offset(position: str | None) -> int | None:
    """The next offset of a position; what else it holds comes after it."""
    digits = "" if position is None else position.partition("@")[0].partition("~")[0]
    return int(digits) if digits.isdigit() else None


@asynccontextmanager
async def opened(ground: Ground, topic: str) -> AsyncIterator[_Broker]:
    """The broker, for as long as it answers. Raises `SourceUnavailable`."""
    if ground.kafka is None:
        raise SourceUnavailable("no broker is set: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS")
    link, consumer = BrokerLink(ground.kafka), reading_consumer(ground.kafka)
    try:
        await link.open()
        await consumer.start()
        sight = await link.look([topic])
        refused = sight.absent.get(topic)
        if refused is not None and refused not in MISSING:
            raise refused()
        yield _Broker(consumer, sight, ground.kafka)
    except TROUBLE as error:
        raise SourceUnavailable(trouble_note(ground.kafka, error)) from error
    finally:
        await close(consumer)
        await link.close()
