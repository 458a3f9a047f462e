"""Which event a Kafka record is. Pure: the record's place in the topic makes its identity, whoever reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from triggers.cloudevents import from_kafka
from triggers.errors import InvalidEvent
from triggers.event import Event

RECORD_TYPE = "dev.tidemill.kafka.record"


class ReadRecord(Protocol):
    """A record as the Kafka client hands it out. `timestamp` is in milliseconds since the epoch, -1 when unknown."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Any: ...


def source_of(cluster: str, topic: str) -> str:
    """The `source` of what a topic's records are."""
    return f"kafka:{cluster}/{topic}"


def time_of(timestamp_ms: int, now: datetime) -> datetime:
    """A record's time; `now` where it has none, or one that no calendar knows."""
    if timestamp_ms < 0:
        return now
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return now


def event_of(record: ReadRecord, source: str, now: datetime) -> tuple[Event, str]:
    """The event that a record is, and why it is dead (`""`: it is not).

    A CloudEvent is itself. Anything else is known by its place in the topic, with the JSON value as data. A record
    that cannot be read keeps its raw value as data.
    """
    try:
        event = from_kafka(record.headers, record.key, record.value)
        if event is not None:
            return event, ""
        data = None if record.value is None else orjson.loads(record.value)
    except InvalidEvent as error:
        return _plain(record, source, now, record.value, "application/octet-stream"), f"broken CloudEvent: {error}"
    except orjson.JSONDecodeError as error:
        return _plain(record, source, now, record.value, "application/octet-stream"), f"not JSON: {error}"
    return _plain(record, source, now, data, "application/json"), ""


def _plain(record: ReadRecord, source: str, now: datetime, data: Any, content_type: str) -> Event:
    return Event(
        source=source,
        id=f"{record.partition}/{record.offset}",
        type=RECORD_TYPE,
        time=time_of(record.timestamp, now),
        subject=_text(record.key),
        data=data,
        datacontenttype=None if data is None else content_type,
    )


def _text(key: bytes | None) -> str | None:
    """A key that is readable text, else None. Postgres holds no NUL."""
    if not key or b"\0" in key:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
