"""Reads the records of any micro-batch again, whatever stream they are of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from triggers.base import OffsetRange, Record
from triggers.continuous import Found, Source, as_records
from triggers.continuous.shards import StreamBatches
from triggers.errors import RecordsGone
from triggers.kafka.batch_values import key_at
from triggers.kafka.kept_records import KeptRecords
from triggers.ranges import AnyRange, ShardRange

_KEPT_BYTES = 64 * 1024 * 1024


class KafkaRecords(Protocol):
    """As much of `triggers.kafka.range_reader.RangeReader` as is asked for here."""

    async def read(self, offsets: AnyRange) -> Sequence[Record]: ...
    def keep(self, offsets: AnyRange, records: Sequence[Record], size_bytes: int) -> None: ...
    async def close(self) -> None: ...


class AnyReader:
    """A `RecordReader` and `RecordKeeper` for Kafka, if there is any, and for the streams of `triggers`."""

    def __init__(self, kafka: KafkaRecords | None, triggers: Sequence[StreamBatches]) -> None:
        self._kafka = kafka
        self._triggers: Mapping[tuple[str, str], StreamBatches] = {(one.kind, one.stream): one for one in triggers}
        self._kept = KeptRecords(_KEPT_BYTES)

    def keep(self, offsets: AnyRange, records: Sequence[Record], size_bytes: int) -> None:
        """See `RecordKeeper`."""
        if isinstance(offsets, OffsetRange) and self._kafka is not None:
            self._kafka.keep(offsets, records, size_bytes)
        else:
            self._kept.keep(offsets, records, size_bytes)

    async def read(self, offsets: AnyRange) -> Sequence[Record]:
        """See `RecordReader`."""
        if isinstance(offsets, OffsetRange):
            if self._kafka is None:
                raise RecordsGone(f"topic {offsets.topic}: this daemon has no broker to read it from")
            return await self._kafka.read(offsets)
        kept = self._kept.get(offsets)
        return kept if kept is not None else await self._read(offsets)

    async def close(self) -> None:
        """Give up what is idle."""
        if self._kafka is not None:
            await self._kafka.close()

    async def _read(self, span: ShardRange) -> Sequence[Record]:
        trigger = self._triggers.get((span.kind, span.stream))
        if trigger is None:
            raise RecordsGone(
                f"stream {span.stream}: no pipeline of this daemon listens to it any more, so nobody knows where it is"
            )
        return as_records(span, await reread(span, trigger.connect))


async def reread(span: ShardRange, connect: Callable[[], Awaitable[Source]]) -> Sequence[Found]:
    """The records of a span, exactly those. Raises `RecordsGone` or `SourceUnavailable`."""
    source = await connect()
    try:
        found = await source.again(span)
    finally:
        await source.close()
    if span.by is not None:
        key = key_at(span.by)
        found = [one for one in found if key(one) == span.key]
    edges = (found[0].place, found[-1].place) if found else ()
    if len(found) != span.count or edges != (span.first, span.last):
        raise RecordsGone(
            f"records {span.first}-{span.last} of {span.stream}/{span.shard}: {len(found)} of {span.count} are left, "
            f"the others are past the stream's retention: keep them longer than a run may take"
        )
    return found
