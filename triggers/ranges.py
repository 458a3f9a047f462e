"""Where the records of a micro-batch are, and who reads them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from triggers.event import Event

Bad = Literal["fail", "skip", "dead"]
Isolation = Literal["read_committed", "read_uncommitted"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read. `timestamp_ms` is the broker's or producer's, since the epoch, -1 where unknown.

    A stream that has no numbers for its records counts them by their place in the batch: `offset` is from 0, and
    `place` is how the stream itself names it.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The records `first` to `last` (both included) of one partition of one cluster's topic.

    Offsets may have gaps (compaction, transaction markers); `count` is how many records were really there. With `by`
    only those records are meant that have `key` there (None: those that have none). `bad` says what becomes of values
    that are no JSON objects. `topic_id` is that of the topic ("": unknown): one that was made anew has other records.
    """

    cluster: str
    topic: str
    partition: int
    first: int
    last: int
    count: int
    by: str | None = None
    key: str | None = None
    bad: Bad = "fail"
    isolation: Isolation = "read_committed"
    topic_id: str = ""

    def as_data(self) -> dict[str, Any]:
        """As the `data` of a micro-batch event. What is as usual is left out."""
        data: dict[str, Any] = {
            "cluster": self.cluster,
            "topic": self.topic,
            "partition": self.partition,
            "first_offset": self.first,
            "last_offset": self.last,
            "count": self.count,
        }
        if self.isolation != "read_committed":
            data["isolation"] = self.isolation
        if self.topic_id:
            data["topic_id"] = self.topic_id
        return data | told_of(self)

    @classmethod
    def of(cls, event: Event) -> OffsetRange:
        """The range a micro-batch event carries. Raises KeyError or TypeError when it carries none."""
        data = event.data
        return cls(
            cluster=data["cluster"],
            topic=data["topic"],
            partition=data["partition"],
            first=data["first_offset"],
            last=data["last_offset"],
            count=data["count"],
            isolation=data.get("isolation", "read_committed"),
            topic_id=data.get("topic_id", ""),
            **_settings(data),
        )


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The records `first` to `last` (both included) of one shard of a stream that names its records by text.

    `kind` is that of the trigger (`kinesis-batches`), `account` whose stream it is: the same name elsewhere is another
    stream. `by`, `key` and `bad` as in `OffsetRange`.
    """

    kind: str
    account: str
    stream: str
    shard: str
    first: str
    last: str
    count: int
    by: str | None = None
    key: str | None = None
    bad: Bad = "fail"

    def as_data(self) -> dict[str, Any]:
        """As the `data` of a micro-batch event."""
        data = {
            "kind": self.kind,
            "account": self.account,
            "stream": self.stream,
            "shard": self.shard,
            "first": self.first,
            "last": self.last,
            "count": self.count,
        }
        return data | told_of(self)

    @classmethod
    def of(cls, event: Event) -> ShardRange:
        """The range a micro-batch event carries. Raises KeyError or TypeError when it carries none."""
        names = ("kind", "account", "stream", "shard", "first", "last", "count")
        return cls(**{name: event.data[name] for name in names}, **_settings(event.data))


AnyRange = OffsetRange | ShardRange


def told_of(given: AnyRange) -> dict[str, Any]:
    """What a range says beside where it is, as far as it is not as usual."""
    told: dict[str, Any] = {} if given.by is None else {"by": given.by, "key": given.key}
    return told if given.bad == "fail" else {**told, "bad": given.bad}


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"by": data.get("by"), "key": data.get("key"), "bad": data.get("bad", "fail")}


def range_of_event(event: Event) -> AnyRange:
    """The range a micro-batch event carries. Raises KeyError or TypeError when it carries none."""
    return ShardRange.of(event) if "shard" in event.data else OffsetRange.of(event)


def range_of_fields(fields: Mapping[str, Any]) -> AnyRange:
    """The range that `dataclasses.asdict` took apart."""
    return ShardRange(**fields) if "shard" in fields else OffsetRange(**fields)


class RecordReader(Protocol):
    """Reads the records of a micro-batch again, exactly the same ones each time."""

    async def read(self, offsets: AnyRange) -> Sequence[Record]:
        """Raises `RecordsGone` (permanent) or `SourceUnavailable` (transient)."""


class RecordKeeper(Protocol):
    """Is shown the records of a micro-batch just fetched, for a stage that reads them soon."""

    def keep(self, offsets: AnyRange, records: Sequence[Record], size_bytes: int) -> None:
        """Keep them for a while, or not. `size_bytes` is what their keys and values take."""
