"""CloudEvents 1.0 as they come and go: HTTP and Kafka bindings, JSON format and batches.

Our own, since PyPI's `cloudevents` 2.2 invents missing ids and takes structured events for binary ones. Whatever the
bytes, the only error is `InvalidEvent`: 400 for malformed syntax (JSON, percent-encoding, quotes), 415 for a format
that is not understood, 422 for an event that breaks a rule.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from triggers.attributes import CORE_ATTRIBUTES, make_event
from triggers.base import Trigger
from triggers.errors import InvalidEvent
from triggers.event import Event, utc_now
from triggers.headers import Headers, fold, on_the_wire
from triggers.payload import decode, media_type, parse_json, require_utf8
from triggers.route import HTTP, Route
from triggers.trace import traced

_FORMAT = "application/cloudevents"
_STRUCTURED = f"{_FORMAT}+json"
_BATCH = f"{_FORMAT}-batch+json"

_DATA = frozenset({"data", "data_base64"})
_NOT_EXTENSIONS = CORE_ATTRIBUTES | _DATA

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")


@dataclass(frozen=True)
class CloudEvents(Trigger):
    """Listens to the CloudEvents posted to `/api/v1/events`; `where` says to which."""

    kind: ClassVar[str] = "cloudevents"

    @property
    def ear(self) -> str | None:
        """All hear what is posted."""
        return "events"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears what is posted, and what stages emit."""
        return None if route.kind == HTTP else "it hears CloudEvents that are posted to /api/v1/events"


def from_http(headers: Headers, body: bytes, *, received_at: datetime | None = None) -> list[Event]:
    """The events of a request, in order; Content-Type alone says in which mode they come (HTTP binding, section 3).

    A batch with one bad event is refused whole. Events that tell no time get `received_at` (by default: now), those
    that name no trace of their own the one of the request (`traceparent`).
    """
    folded = fold(headers)
    events = _from_request(folded, body, received_at or utc_now())
    if "traceparent" in folded:
        return [replace(one, extensions=traced(one.extensions, folded)) for one in events]
    return events


def _from_request(folded: Mapping[str, str], body: bytes, received_at: datetime) -> list[Event]:
    content_type = folded.get("content-type")
    mode = _mode(content_type)
    if mode == _BATCH:
        return _from_batch(parse_json(body, "the batch"), received_at)
    if mode == _STRUCTURED:
        return [from_json(parse_json(body, "the event"), received_at=received_at)]
    attributes = {name[3:]: _from_header(name, value) for name, value in folded.items() if name.startswith("ce-")}
    if not attributes:
        raise InvalidEvent(
            f"this is no CloudEvent: post {_STRUCTURED} or {_BATCH}, or add ce-id, ce-source, ce-type, ce-specversion",
            status=415,
        )
    return [_from_binary(attributes, content_type, body, received_at)]


def from_kafka(
    headers: Sequence[tuple[str, bytes]],
    key: bytes | None,
    value: bytes | None,
    *,
    received_at: datetime | None = None,
) -> Event | None:
    """The event of a record, or None for a record that is no CloudEvent (Kafka binding, section 3).

    `key` has no part in it, since the mapping must not change the event. An event that tells no time gets
    `received_at`: hand over the record's own timestamp, so that reading it again gives the same event.
    """
    received_at = received_at or utc_now()
    content_type = next((_utf8(name, raw) for name, raw in headers if name.lower() == "content-type"), None)
    mode = _mode(content_type, understood=_STRUCTURED)
    if mode == _BATCH:
        raise InvalidEvent(f"{_BATCH}: Kafka carries one CloudEvent in a record", status=415)
    if mode == _STRUCTURED:
        return from_json(parse_json(value or b"", "the event"), received_at=received_at)
    attributes: dict[str, Any] = {}
    for name, raw in headers:
        if name.startswith("ce_"):
            if name[3:] in attributes:
                raise InvalidEvent(f"header {name} is there twice: send each attribute once")
            attributes[name[3:]] = _utf8(name, raw)
    return _from_binary(attributes, content_type, value or b"", received_at) if attributes else None


def from_json(obj: Any, *, received_at: datetime | None = None) -> Event:
    """The event that a parsed JSON object describes (JSON format, section 3)."""
    if not isinstance(obj, dict):
        raise InvalidEvent("a CloudEvent in JSON is an object with id, source, type and specversion")
    attributes = {name: value for name, value in obj.items() if name not in _DATA}
    return make_event(attributes, _json_data(obj), received_at or utc_now())


def to_json(event: Event) -> dict[str, Any]:
    """The event in structured form, ready for `orjson.dumps`. No data and a null are both left out."""
    written: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    written["time"] = event.time.isoformat().replace("+00:00", "Z")
    for name in ("subject", "datacontenttype", "dataschema"):
        if (value := getattr(event, name)) is not None:
            written[name] = value
    written.update(event.extensions)
    if isinstance(event.data, bytes):
        written["data_base64"] = base64.b64encode(event.data).decode()
    elif event.data is not None:
        written["data"] = event.data
    return written


def restore(written: Mapping[str, Any]) -> Event:
    """The event `to_json` wrote, taken at its word: for events that were accepted before."""
    data = base64.b64decode(written["data_base64"]) if "data_base64" in written else written.get("data")
    return Event(
        id=written["id"],
        source=written["source"],
        type=written["type"],
        time=datetime.fromisoformat(written["time"]),
        subject=written.get("subject"),
        datacontenttype=written.get("datacontenttype"),
        dataschema=written.get("dataschema"),
        extensions={name: value for name, value in written.items() if name not in _NOT_EXTENSIONS},
        data=data,
    )


def _mode(content_type: str | None, understood: str = f"{_STRUCTURED} or {_BATCH}") -> str:
    """`_STRUCTURED`, `_BATCH`, or "" for binary. Raises `InvalidEvent` (415) for another event format."""
    if content_type is None or not content_type.lstrip().lower().startswith(_FORMAT):
        return ""
    media = media_type(content_type)
    if media is None or media.essence not in (_STRUCTURED, _BATCH):
        raise InvalidEvent(f"{content_type[:80]} is not understood: send {understood}", status=415)
    require_utf8(media)
    return media.essence


def _from_batch(batch: Any, received_at: datetime) -> list[Event]:
    if not isinstance(batch, list):
        raise InvalidEvent("a batch is a JSON array of CloudEvents")
    events = []
    for index, one in enumerate(batch):
        try:
            events.append(from_json(one, received_at=received_at))
        except InvalidEvent as error:
            raise InvalidEvent(f"event {index} of the batch: {error}", status=error.status) from None
    return events


def _from_binary(attributes: dict[str, Any], content_type: str | None, body: bytes, received_at: datetime) -> Event:
    attributes["datacontenttype"] = content_type
    return make_event(attributes, decode(body, content_type), received_at)


def _json_data(obj: dict[str, Any]) -> Any:
    encoded = obj.get("data_base64")
    if encoded is None:
        return obj.get("data")
    if "data" in obj:
        raise InvalidEvent("data and data_base64 exclude each other: send one of them")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidEvent("data_base64 is not base64 (RFC 4648): encode the bytes with padding") from None


def _from_header(name: str, value: str) -> str:
    """An attribute from a header: unquoted, percent-decoded once, in UTF-8 (HTTP binding, section 3.1.3.2)."""
    if '"' in value:
        value = _QUOTED.sub(lambda found: _unquoted(name, found), value)
    raw = on_the_wire(value)
    if b"%" in raw:
        raw = _PERCENT.sub(lambda found: _octet(name, found), raw)
    return _utf8(name, raw)


def _unquoted(name: str, found: re.Match[str]) -> str:
    if not found[2]:
        raise InvalidEvent(f"header {name}: a quoted string does not end", status=400)
    return _ESCAPED.sub(r"\1", found[1])


def _octet(name: str, found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise InvalidEvent(f"header {name}: % is not followed by two hexadecimal digits: write %25 for %", status=400)
    return bytes.fromhex(found[1].decode())


def _utf8(name: str, raw: bytes | None) -> str:
    try:
        return (raw or b"").decode()
    except UnicodeDecodeError:
        raise InvalidEvent(f"header {name} is not UTF-8", status=400) from None
