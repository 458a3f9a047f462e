"""CloudEvents as they go out: structured and binary, over HTTP and Kafka."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from triggers.cloudevents import to_json
from triggers.event import Event

STRUCTURED_TYPE = "application/cloudevents+json; charset=UTF-8"
# What a header may hold as it is: printable ASCII but for space, the double quote and percent (HTTP binding, 3.1.3.2).
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def structured(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event as one JSON document."""
    return {"Content-Type": STRUCTURED_TYPE}, orjson.dumps(to_json(event))


def binary_http(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event with its attributes in headers."""
    headers, body = _split(event)
    return {name if name == "Content-Type" else f"ce-{name}": _in_header(value) for name, value in headers}, body


def binary_kafka(event: Event) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value of the record with its attributes in headers (Kafka binding, section 3.2)."""
    headers, body = _split(event)
    named = [("content-type" if name == "Content-Type" else f"ce_{name}", value.encode()) for name, value in headers]
    return named, body


def structured_kafka(event: Event) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value of the record with the event as one JSON document."""
    headers, body = structured(event)
    return [(name.lower(), value.encode()) for name, value in headers.items()], body


def _split(event: Event) -> tuple[list[tuple[str, str]], bytes]:
    written: dict[str, Any] = to_json(event)
    written.pop("data_base64", None)
    content_type = written.pop("datacontenttype", None)
    data = written.pop("data", None)
    headers = [(name, _text(value)) for name, value in written.items()]
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    if isinstance(event.data, bytes):
        return headers, event.data
    return headers, b"" if data is None else orjson.dumps(data)


def _text(value: Any) -> str:
    """An attribute in its canonical text (spec, "Type System")."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_header(value: str) -> str:
    return quote(value, safe=_PLAIN)
