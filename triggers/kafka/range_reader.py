"""Reads the records of a micro-batch again: exactly the same ones each time, or an error that says why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from triggers.base import AnyRange, KafkaAccess, OffsetRange, Record
from triggers.errors import RecordsGone, SourceUnavailable
from triggers.kafka.apart import BROKEN, read_apart
from triggers.kafka.batch_values import key_at
from triggers.kafka.client import MISSING, TROUBLE, BrokerLink, Sight, close, reading_consumer, trouble_note
from triggers.kafka.kept_records import KeptRecords, RecordsView
from triggers.kafka.parsed import Parsed, hand_out_parsed
from triggers.ranges import Isolation

_KEPT_BYTES = 64 * 1024 * 1024
_CONSUMERS = 4
_READ_S = 30.0
_POLL_MS = 500
_SHORTER = "the partition ends before them now: its topic was made anew"
_EXPIRED = "the broker has deleted these records: keep them longer (retention.ms) than a run may take"
_ENDED = ": the embedded broker keeps nothing over its end, and is a new one with each `tidemill up`"


class RangeReader:
    """A `RecordReader` and `RecordKeeper`: any number of stages may read at once, `consumers` of them from the broker.

    Belongs to one event loop. After `close` it starts anew when used again.
    """

    def __init__(self, access: KafkaAccess, *, kept_bytes: int = _KEPT_BYTES, consumers: int = _CONSUMERS) -> None:
        self._access = access
        self._kept = KeptRecords(kept_bytes)
        self._slots = asyncio.Semaphore(consumers)
        self._idle: list[_Puller] = []

    def keep(self, offsets: AnyRange, records: Sequence[Record], size_bytes: int) -> None:
        """Remember records that were just fetched, so that a stage reading them soon need not fetch them again."""
        self._kept.keep(offsets, records, size_bytes)

    async def read(self, offsets: AnyRange) -> Sequence[Record]:
        """The records of a range. Raises `RecordsGone` (permanent) or `SourceUnavailable` (transient)."""
        kept = self._kept.get(offsets)
        if kept is not None:
            return kept
        if not isinstance(offsets, OffsetRange):
            raise RecordsGone(f"a batch of {offsets.kind} is not Kafka's: nobody here can read it")
        try:
            async with self._slots, asyncio.timeout(_READ_S), self._puller(offsets.isolation) as puller:
                return RecordsView(offsets.topic, offsets.partition, await puller.pull(offsets))
        except TROUBLE as error:
            raise SourceUnavailable(f"{_named(offsets)}: {trouble_note(self._access, error)}") from error

    async def close(self) -> None:
        """Give up what is idle. Reads that are under way end by themselves."""
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _puller(self, isolation: Isolation) -> AsyncIterator[_Puller]:
        """An idle puller or a new one. It is idle again afterwards, unless the broker failed it."""
        puller = next((one for one in self._idle if one.isolation == isolation), None)
        if puller is None:
            puller = _Puller(self._access, isolation)
        else:
            self._idle.remove(puller)
        try:
            await puller.open()
            yield puller
        except RecordsGone:
            self._idle.append(puller)
            raise
        except BaseException:
            await puller.close()
            # Those who idle have lost the same broker.
            await self.close()
            raise
        self._idle.append(puller)


class _Puller:
    """A consumer outside of any group, for one range after the other."""

    def __init__(self, access: KafkaAccess, isolation: Isolation) -> None:
        self.isolation = isolation
        self._consumer = reading_consumer(access, isolation=isolation)
        self._link = BrokerLink(access)
        self._replaced = _ENDED if access.embedded else ""
        self._opened = False
        self._shrunk_s = 1.0 if access.embedded else 10.0

    async def open(self) -> None:
        """Connect. Does nothing the second time. Raises one of `TROUBLE`."""
        if not self._opened:
            await self._link.open()
            await self._consumer.start()
            hand_out_parsed(self._consumer)
            self._opened = True

    async def close(self) -> None:
        """Disconnect, for good."""
        await close(self._consumer)
        await self._link.close()

    async def pull(self, offsets: OffsetRange) -> Sequence[Parsed]:
        """The records of a range, all of them. Raises `RecordsGone` or one of `TROUBLE`."""
        # Asked before, to know whether it is worth reading, and after, to know what was read.
        await self._check_there(offsets)
        partition = TopicPartition(offsets.topic, offsets.partition)
        self._consumer.assign([partition])
        self._consumer.seek(partition, offsets.first)
        try:
            records = await self._collect(partition, offsets)
        except OffsetOutOfRangeError:
            oldest = (await self._consumer.beginning_offsets([partition]))[partition]
            raise RecordsGone(f"{_named(offsets)}: {_EXPIRED if oldest > offsets.first else _SHORTER}") from None
        finally:
            # An assigned consumer fetches on, wanted or not.
            self._consumer.pause(partition)
        await self._check_there(offsets)
        if offsets.by is not None:
            key = key_at(offsets.by)
            records = [one for one in records if key(one) == offsets.key]
        _check_complete(records, offsets)
        return records

    async def _check_there(self, offsets: OffsetRange) -> None:
        last_chance_s = asyncio.get_running_loop().time() + self._shrunk_s
        while not _is_there(await self._link.look([offsets.topic]), offsets, self._replaced):
            # What others have of a new topic or partition, one broker of a cluster may be the last to hear of.
            if asyncio.get_running_loop().time() > last_chance_s:
                raise RecordsGone(f"{_named(offsets)}: the broker no longer has this partition")
            await asyncio.sleep(_POLL_MS / 1000)

    async def _collect(self, partition: TopicPartition, offsets: OffsetRange) -> Sequence[Parsed]:
        loop = asyncio.get_running_loop()
        found: list[Parsed] = []
        last_chance_s = loop.time() + self._shrunk_s
        while await self._consumer.position(partition) <= offsets.last:
            try:
                got = await self._consumer.getmany(partition, timeout_ms=_POLL_MS)
            except BROKEN as error:
                at = await self._consumer.position(partition)
                got = await read_apart(self._consumer, {partition: at}, self.isolation, error)
            found += got.get(partition, ())
            end = self._consumer.highwater(partition)
            # After an election the end that a broker knows may lag for a moment.
            if end is not None and end <= offsets.last and loop.time() > last_chance_s:
                raise RecordsGone(f"{_named(offsets)}: the partition ends at {end} now: its topic was made anew")
        return [one for one in found if one.offset <= offsets.last]


def _is_there(sight: Sight, offsets: OffsetRange, replaced: str) -> bool:
    """Whether a broker has the partition. Raises `RecordsGone` when it has another one of that name."""
    if sight.cluster != offsets.cluster:
        raise RecordsGone(
            f"{_named(offsets)}: their cluster {offsets.cluster} was replaced by {sight.cluster}{replaced}"
        )
    absent = sight.absent.get(offsets.topic)
    if absent is not None and absent not in MISSING:
        raise absent()
    if offsets.topic_id and sight.ids.get(offsets.topic, offsets.topic_id) != offsets.topic_id:
        raise RecordsGone(f"{_named(offsets)}: their topic was deleted and made anew, its records are others")
    return offsets.partition in sight.partitions.get(offsets.topic, ())


def _check_complete(records: Sequence[Parsed], offsets: OffsetRange) -> None:
    edges = (records[0].offset, records[-1].offset) if records else ()
    if len(records) != offsets.count or edges != (offsets.first, offsets.last):
        raise RecordsGone(
            f"{_named(offsets)}: {len(records)} of {offsets.count} records are left, the others were deleted or "
            "compacted away: use a topic with cleanup.policy=delete"
        )


def _named(offsets: OffsetRange) -> str:
    return f"records {offsets.first}-{offsets.last} of {offsets.topic}/{offsets.partition}"
