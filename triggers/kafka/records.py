"""Which event a Kafka record is. Pure: the record's place in the topic makes its identity, whoever reads it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from triggers.cloudevents import from_kafka
from triggers.errors import InvalidEvent
from triggers.event import HEADERS, Event
from triggers.kafka.values import ReadValue, Value, check_size, read_json
from triggers.oddity import UNREADABLE, why_unreadable
from triggers.trace import trace_of

RECORD_TYPE = "dev.tidemill.kafka.record"
KEY = "kafkakey"
"""The extension that holds a record's key where it is text; else `KEY_BYTES` holds it, in base64."""
KEY_BYTES = "kafkakeybytes"

_RAW = "application/octet-stream"
# A CloudEvent's own headers are its attributes already.
_ATTRIBUTES = ("ce_", "content-type")


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


def event_of(
    record: ReadRecord, source: str, now: datetime, read: ReadValue = read_json, life: int = 0
) -> tuple[Event, str]:
    """The event that a record is, and why it is dead (`""`: it is not).

    A CloudEvent is itself. Anything else is known by its place in the topic, with what `read` makes of its value as
    data; an absent value is no data. Its key and headers are extensions. A record that cannot be read keeps its raw
    value as data. `life` counts how often the topic was made anew, for its offsets begin again each time.
    """
    time = time_of(record.timestamp, now)
    try:
        check_readable(record)
        event = _cloud_event(record, time, read)
        if event is not None:
            beside = _beside(record, skip=_ATTRIBUTES)
            return replace(event, extensions={**_trace(record), **event.extensions, **beside}), ""
        value = None if record.value is None else read(record.value)
    except UNREADABLE as error:
        raw = None if record.value is None else Value(record.value, _RAW)
        return _plain(record, source, time, raw, life), why_unreadable(error)
    return _plain(record, source, time, value, life), ""


def check_readable(record: ReadRecord) -> None:
    """Raises `InvalidEvent` for a record that Kafka itself cannot read, or that is too large to be read."""
    # See `triggers.kafka.apart.UnreadableRecord`.
    unreadable: str = getattr(record, "unreadable", "")
    if unreadable:
        raise InvalidEvent(unreadable)
    check_size(record.value)


def _cloud_event(record: ReadRecord, time: datetime, read: ReadValue) -> Event | None:
    """The CloudEvent in a record. Data that is neither JSON nor text by its content type is left to `read`."""
    try:
        event = from_kafka(record.headers, record.key, record.value, received_at=time)
    except InvalidEvent as error:
        raise InvalidEvent(f"broken CloudEvent: {error}") from None
    if event is None or read is read_json or not isinstance(event.data, bytes):
        return event
    value = read(event.data)
    return replace(event, data=value.data, dataschema=event.dataschema or value.schema)


def _plain(record: ReadRecord, source: str, time: datetime, value: Value | None, life: int) -> Event:
    place = f"{record.partition}/{record.offset}"
    return Event(
        source=source,
        id=f"{place}~{life}" if life else place,
        type=RECORD_TYPE,
        time=time,
        subject=_text(record.key),
        data=None if value is None else value.data,
        datacontenttype=None if value is None else value.content_type,
        dataschema=None if value is None else value.schema,
        extensions={**_trace(record), **_beside(record)},
    )


def _trace(record: ReadRecord) -> dict[str, str]:
    """The trace that a record's headers name, by the names that tracing uses over HTTP too."""
    named = [(name.lower(), _header(raw)) for name, raw in record.headers or () if name.lower().startswith("trace")]
    return trace_of(dict(named)) if len(dict(named)) == len(named) else {}


def _beside(record: ReadRecord, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """A record's key and headers as extensions."""
    if not record.key and not record.headers:
        return {}
    beside: dict[str, str] = {}
    if record.key:
        text = _text(record.key)
        beside = {KEY_BYTES: base64.b64encode(record.key).decode()} if text is None else {KEY: text}
    headers: dict[str, Any] = {}
    for name, raw in record.headers or ():
        if not (skip and name.lower().startswith(skip)):
            headers.setdefault(name, []).append(_header(raw))
    if headers:
        single = {name: values[0] if len(values) == 1 else values for name, values in headers.items()}
        beside[HEADERS] = orjson.dumps(single).decode()
    return beside


def _header(raw: bytes | None) -> Any:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def key_and_headers(event: Event) -> tuple[bytes | None, list[tuple[str, bytes | None]]]:
    """The key and headers of the record that `event_of` made this plain or dead event of, repeats side by side."""
    text, encoded = event.extensions.get(KEY), event.extensions.get(KEY_BYTES)
    key = base64.b64decode(str(encoded)) if encoded is not None else None if text is None else str(text).encode()
    headers: list[tuple[str, bytes | None]] = []
    for name, value in orjson.loads(str(event.extensions.get(HEADERS, "{}"))).items():
        headers += [(name, _sent(one)) for one in (value if isinstance(value, list) else [value])]
    return key, headers


def _sent(header: Any) -> bytes | None:
    if header is None:
        return None
    return base64.b64decode(header["base64"]) if isinstance(header, dict) else str(header).encode()


def _text(key: bytes | None) -> str | None:
    """A key that is readable text, else None. Postgres holds no NUL."""
    if not key or b"\0" in key:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
