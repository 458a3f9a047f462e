"""Records as the Kafka client has parsed them, for those who read many.

The client makes a `ConsumerRecord` of each record that it has parsed, which takes most of the time of reading it. What
it has parsed knows all the same but for its topic and partition. It has no setting for that, so its fetcher is told:
that holds for the versions that the project allows. Where it no longer listens `ConsumerRecord`s come, and do as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition


class Parsed(Protocol):
    """A record, without its topic and partition. `timestamp` is in milliseconds since the epoch, -1 when unknown."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def hand_out_parsed(consumer: AIOKafkaConsumer) -> None:
    """Have a consumer hand out `Parsed` records. Call it once the consumer has started, before it reads."""
    consumer._fetcher._records = _Fetched()


def whole(record: Parsed, at: TopicPartition) -> ConsumerRecord:
    """The record of a partition as the client hands it out by itself."""
    if isinstance(record, ConsumerRecord):
        return record
    sizes = [-1 if one is None else len(one) for one in (record.key, record.value)]
    told = (record.offset, record.timestamp, record.timestamp_type, record.key, record.value, None)
    return ConsumerRecord(at.topic, at.partition, *told, *sizes, tuple(record.headers))


class _Fetched(OrderedDict[TopicPartition, Any]):
    """What a fetcher holds of each partition until somebody asks for it: bytes to unpack, or an error."""

    def __setitem__(self, at: TopicPartition, held: Any) -> None:
        unpacking = getattr(held, "_partition_records", None)
        if unpacking is not None:
            unpacking._consumer_record = _itself
        super().__setitem__(at, held)


def _itself(_: TopicPartition, record: Parsed) -> Parsed:
    return record
