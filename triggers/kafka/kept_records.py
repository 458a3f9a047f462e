"""Records of micro-batches that were just fetched, kept for the stages that will read them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from triggers.base import AnyRange, Record

if TYPE_CHECKING:
    from triggers.kafka.parsed import Parsed

# What one record costs beside its key and value.
_OVERHEAD_BYTES = 300


class RecordsView(Sequence[Record]):
    """Records of one partition as the Kafka client has them, turned into ours only when somebody looks at one."""

    def __init__(self, topic: str, partition: int, records: Sequence[Parsed]) -> None:
        self._place = (topic, partition)
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self._records)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> RecordsView: ...

    def __getitem__(self, at: int | slice) -> Record | RecordsView:
        if isinstance(at, slice):
            return RecordsView(*self._place, self._records[at])
        return self._record(self._records[at])

    def values(self) -> list[bytes | None]:
        """The values alone: the quick way, for a `Record` each is never made."""
        return [one.value for one in self._records]

    def _record(self, one: Parsed) -> Record:
        return Record(*self._place, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))


class KeptRecords:
    """The batches kept last, up to `limit_bytes` of memory; what was not looked at the longest goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[AnyRange, tuple[Sequence[Record], int]] = OrderedDict()

    def keep(self, offsets: AnyRange, records: Sequence[Record], size_bytes: int) -> None:
        """Keep a batch whose keys and values take `size_bytes`. One that is larger than everything is not kept."""
        size_bytes += _OVERHEAD_BYTES * len(records)
        if offsets in self._kept:
            # The same place may hold other records by now, if its topic was made anew.
            self._size_bytes -= self._kept.pop(offsets)[1]
        if size_bytes > self._limit_bytes:
            return
        self._kept[offsets] = (records, size_bytes)
        self._size_bytes += size_bytes
        while self._size_bytes > self._limit_bytes:
            _, (_, freed_bytes) = self._kept.popitem(last=False)
            self._size_bytes -= freed_bytes

    def get(self, offsets: AnyRange) -> Sequence[Record] | None:
        """The batch, or None when it is not (or no longer) kept."""
        if offsets not in self._kept:
            return None
        self._kept.move_to_end(offsets)
        return self._kept[offsets][0]
