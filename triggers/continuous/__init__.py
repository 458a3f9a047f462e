"""The protocol of streams that are read in micro-batches: what a stream must be able to do, and who reads it how.

A stream is made of shards, each a row of records with a place of its own. Kafka brings groups of its own
(`triggers.kafka.batches`); here there is no group: every daemon may read every shard, and the compare-and-set of a
shard's position lets one of them through. Whoever loses stands by, and takes over where nobody moves the position any
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from triggers.base import Record
from triggers.ranges import ShardRange


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a stream with an order of its own. It is read once its `parents` have been read to their ends."""

    name: str
    parents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """One record of a shard. `place` names it there, without `@` and `!`; `timestamp` is in ms, -1 if unknown."""

    place: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def size_bytes(self) -> int:
        """What its key and value take."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Page:
    """What came next in a shard. `ended`: nothing will ever come after it."""

    records: Sequence[Found]
    ended: bool = False


class ShardReader(Protocol):
    """Reads one shard from where it was opened."""

    async def page(self, limit: int) -> Page:
        """The next records, at most `limit`, or none after a moment. Raises `SourceUnavailable`."""

    async def close(self) -> None:
        """Stop. Raises nothing."""


class Source(Protocol):
    """An open connection to one stream. `account` tells whose it is: a stream made anew has another."""

    account: str

    async def shards(self) -> Sequence[Shard]:
        """Every shard there is. Raises `SourceUnavailable`."""

    async def begin(self, shard: Shard, start: str) -> str:
        """The position of a shard that nobody has read, for `earliest` or `latest`: durable text, like a place."""

    async def open(self, shard: str, position: str) -> ShardReader:
        """Read on from a position: what `begin` said, or the place of the last record that was accepted."""

    async def again(self, span: ShardRange) -> Sequence[Found]:
        """The records of a span, exactly those. Raises `RecordsGone` or `SourceUnavailable`."""

    async def close(self) -> None:
        """Disconnect. Raises nothing."""


def as_records(span: ShardRange, found: Sequence[Found]) -> list[Record]:
    """As a stage gets them."""
    return [
        Record(span.stream, 0, number, one.timestamp, one.key, one.value, one.headers, f"{span.shard}/{one.place}")
        for number, one in enumerate(found)
    ]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a shard was read, as the inbox holds it: `TOKEN[!][@WATERMARK]`, with `!` where it has ended."""

    token: str
    ended: bool = False
    watermark_ms: int | None = None

    def __str__(self) -> str:
        told = self.token + ("!" if self.ended else "")
        return told if self.watermark_ms is None else f"{told}@{self.watermark_ms}"

    @classmethod
    def of(cls, position: str) -> Mark:
        """From what the inbox holds."""
        told, _, watermark_ms = position.partition("@")
        return cls(told.removesuffix("!"), told.endswith("!"), int(watermark_ms) if watermark_ms else None)
