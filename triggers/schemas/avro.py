"""Avro payloads as JSON: times in RFC 3339, decimals as text (exact), bytes in base64, unions as what they hold."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from triggers.errors import InvalidEvent
from triggers.schemas.avro_weight import Weight

if TYPE_CHECKING:
    from triggers.schemas.registry import Decode, Schema

# What broken bytes make of a decoder.
BROKEN = (
    *(EOFError, LookupError, ValueError, ArithmeticError, TypeError, AttributeError),
    *(struct.error, MemoryError, RecursionError, OSError),
)


def decoder(schema: Schema) -> Decode:
    """How to read a payload. Raises `InvalidEvent` for a schema that cannot be used."""
    import fastavro
    from fastavro.schema import SchemaParseException, UnknownType

    named: dict[str, Any] = {}
    try:
        for text in schema.references.values():
            fastavro.parse_schema(orjson.loads(text), named_schemas=named)
        parsed = fastavro.parse_schema(orjson.loads(schema.text), named_schemas=named)
        weight = Weight(parsed, named)
    except (SchemaParseException, UnknownType, *BROKEN) as error:
        why = "it is not worded as one" if isinstance(error, (LookupError, TypeError, AttributeError)) else str(error)
        raise InvalidEvent(f"not an Avro schema that can be used: {why}") from None
    return partial(_decode, parsed, weight)


def _broken(error: BaseException, size_bytes: int) -> str:
    """What broken bytes are, in words: what a decoder raises tells of itself."""
    if isinstance(error, (EOFError, struct.error, IndexError)):
        return f"it needs more than the {size_bytes} bytes there are, or names a branch that its schema has not"
    if isinstance(error, UnicodeDecodeError):
        return "text in it is not UTF-8"
    if isinstance(error, (ValueError, ArithmeticError)) and str(error):
        return str(error)
    return f"its {size_bytes} bytes say what the schema does not allow"


def _decode(parsed: Any, weight: Weight, payload: bytes) -> Any:
    import fastavro

    weight.check(payload)
    source = BytesIO(payload)
    try:
        found = _as_json(fastavro.schemaless_reader(source, parsed, None))
    except BROKEN as error:
        raise InvalidEvent(f"not Avro of its schema: {_broken(error, len(payload))}") from None
    left = len(payload) - source.tell()
    if left:
        raise InvalidEvent(f"not Avro of its schema: {left} bytes are left over")
    return found


def _as_json(value: Any) -> Any:
    if isinstance(value, str | int | bool) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    raise InvalidEvent(f"its schema has a type that has no JSON: {type(value).__name__}")
