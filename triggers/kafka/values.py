"""What the value of a Kafka record says, in each of the formats that need no schema.

A reader takes the bytes of a value, which may be empty but not absent, and returns a `Value` or raises `InvalidEvent`:
then the record is dead, and its bytes are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from triggers.errors import InvalidEvent
from triggers.payload import parse_json

LARGEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Value:
    """What became of a value. `schema` is the URL of the schema it was read by, where there is one."""

    data: Any
    content_type: str
    schema: str | None = None


ReadValue = Callable[[bytes], Value]


def read_json(value: bytes) -> Value:
    """JSON in UTF-8."""
    if not value:
        raise InvalidEvent("not JSON: the value is empty")
    try:
        return Value(parse_json(value, "the value"), "application/json")
    except InvalidEvent as error:
        raise InvalidEvent(f"not JSON: {str(error).removeprefix('the value is not JSON: ')}") from None


def read_text(value: bytes) -> Value:
    """Text in UTF-8."""
    try:
        return Value(value.decode(), "text/plain; charset=utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"not text in UTF-8: {error}") from None


def read_bytes(value: bytes) -> Value:
    """Whatever it is."""
    return Value(value, "application/octet-stream")


FORMATS: Mapping[str, ReadValue] = {"json": read_json, "text": read_text, "bytes": read_bytes}


def check_size(value: bytes | None) -> None:
    """Raises `InvalidEvent` for a value that is too large to be read."""
    if value is not None and len(value) > LARGEST_BYTES:
        raise InvalidEvent(
            f"its value has {len(value)} bytes, more than the {LARGEST_BYTES} that are read: "
            "send a reference to where the data is"
        )
