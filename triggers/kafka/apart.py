"""Batches that the Kafka client cannot read, taken apart: what is good in them is kept, and what is not says why.

The client raises at such a batch, also at a header whose name is not UTF-8, and gets no further. So the batch is
fetched once more and read here, record by record. A record that cannot be read keeps its bytes as its value; where a
whole batch cannot, one stands for all of it, at its last offset. Records of aborted transactions are left out as ever.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, codec
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from triggers.errors import SourceUnavailable
from triggers.kafka.raw_batch import Broken, Read, records_in
from triggers.ranges import Isolation

BROKEN = (
    *(CorruptRecordException, UnsupportedCodecError, UnicodeDecodeError),
    *(gzip.BadGzipFile, zlib.error, EOFError, struct.error, IndexError, MemoryError),
    getattr(codec.cramjam, "DecompressionError", CorruptRecordException),
)
"""What the client raises at a batch that it cannot read."""

_FETCH_BYTES = 16 * 1024 * 1024
_WAIT_MS = 500


@dataclass
class UnreadableRecord(ConsumerRecord):  # type: ignore[misc]
    """A record that is not what Kafka's protocol says. `unreadable` says why."""

    unreadable: str


async def read_apart(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], isolation: Isolation, error: BaseException
) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
    """One fetch of each partition, from where it starts, after the client has raised `error`, which names none.

    The consumer is placed behind what is returned: whatever it had of these partitions it may have lost. Raises
    `SourceUnavailable` where nothing could be had, else one of `TROUBLE`.
    """
    found = {}
    moved = False
    for partition, offset in starts.items():
        records, after = await _fetch_apart(consumer, partition, offset, isolation)
        if partition in consumer.assignment():
            consumer.seek(partition, after)
        moved = moved or after > offset
        if records:
            found[partition] = records
    if not moved:
        raise SourceUnavailable(f"the Kafka client failed to read records ({error!r}): building it anew") from error
    return found


async def _fetch_apart(
    consumer: AIOKafkaConsumer, at: TopicPartition, offset: int, isolation: Isolation
) -> tuple[Sequence[ConsumerRecord], int]:
    level = READ_COMMITTED if isolation == "read_committed" else READ_UNCOMMITTED
    client = consumer._client
    wanted = [(at.topic, [(at.partition, offset, _FETCH_BYTES)])]
    request = FetchRequest(_WAIT_MS, 1, _FETCH_BYTES, level, wanted, rack_id="")
    answer = await client.send(client.cluster.leader_for_partition(at), request)
    _, [(_, code, end, *rest)] = answer.topics[0]
    if code:
        raise for_code(code)(f"{at.topic}/{at.partition}")
    aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
    return take_apart(at, rest[-1], offset, end, aborted, level)


def take_apart(
    at: TopicPartition, fetched: bytes, offset: int, end: int, aborted: Any = None, level: int = READ_COMMITTED
) -> tuple[Sequence[ConsumerRecord], int]:
    """The records of `fetched` from `offset` on, and the offset behind them.

    `end` is the first offset that the partition does not have.
    """
    batches = _Batches(fetched, end)
    reading = PartitionRecords(at, batches, aborted, offset, None, None, False, level)
    records = [_marked(record, batches.broken.get(record.offset)) for record in reading]
    return records, reading.next_fetch_offset


def _marked(record: ConsumerRecord, why: str | None) -> ConsumerRecord:
    if why is None:
        return record
    told = {one.name: getattr(record, one.name) for one in fields(ConsumerRecord)}
    return UnreadableRecord(**told, unreadable=why)


class _Batches:
    """Batches as `PartitionRecords` takes them. `broken` says of which offsets why they cannot be read."""

    def __init__(self, fetched: bytes, end: int) -> None:
        self._fetched = fetched
        self._end = end
        self._batches = MemoryRecords(fetched)
        self._at = 0
        self.broken: dict[int, str] = {}

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> _Batch:
        length = 12 + int.from_bytes(self._fetched[self._at + 8 : self._at + 12], "big")
        raw = self._fetched[self._at : self._at + length]
        self._at += length
        return _Batch(self._batches.next_batch(), raw, self._end, self.broken)


class _Batch:
    """One batch: the client's own where that can read it."""

    def __init__(self, batch: Any, raw: bytes, end: int, broken: dict[int, str]) -> None:
        self._batch = batch
        self._raw = raw
        self._last = max(batch.base_offset, min(batch.next_offset, end) - 1)
        self._broken = broken
        self._good: list[Any] | None = None
        self._why = "" if batch.validate_crc() else "its checksum is wrong"
        if not self._why:
            self._open()

    def _open(self) -> None:
        try:
            self._good = list(self._batch)
        except BROKEN as error:
            if isinstance(error, UnsupportedCodecError) and "Libraries" in str(error):
                # Once it is installed everything can be read.
                raise SourceUnavailable(f"pip install 'tidemill[compression]' to read this topic: {error}") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    @property
    def next_offset(self) -> int:
        """Behind its last record, and where that cannot be believed, not behind the end of the partition."""
        return int(self._batch.next_offset) if self._good is not None else self._last + 1

    @property
    def is_control_batch(self) -> bool:
        """A marker that cannot be read says nothing of its transaction."""
        return self._good is not None and bool(self._batch.is_control_batch)

    def __next__(self) -> Any:
        return (self._good or [])[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._good if self._good is not None else self._apart())

    def _apart(self) -> Sequence[Read]:
        try:
            if self._why:
                raise Broken(self._why)
            found = list(records_in(self._raw, self._last))
        except (Broken, *BROKEN) as error:
            told = str(error) or type(error).__name__
            why = f"offsets {self._batch.base_offset} to {self._last} are a batch that cannot be read: {told}"
            found = [Read(self._last, self._raw, why)]
        self._broken.update((one.offset, one.why) for one in found if one.why)
        return found
