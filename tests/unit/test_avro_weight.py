"""Avro records that would be more than anybody can hold are dead, before anything is made of them."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from triggers.errors import InvalidEvent
from triggers.schemas.avro import decoder
from triggers.schemas.avro_weight import LONGEST_DECIMAL_BYTES, Weight
from triggers.schemas.bounds import MOST_VALUES
from triggers.schemas.registry import Schema

NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4_000, "scale": 0}
WIDE = {
    "type": "record",
    "name": "Wide",
    "fields": [{"name": "n", "type": "int"}, *({"name": f"f{at}", "type": "null"} for at in range(5_000))],
}


def doubled(levels: int) -> dict[str, Any]:
    """A record of no bytes and 2**levels values."""
    schema: Any = "null"
    for level in range(levels):
        first = {"name": "a", "type": schema}
        again = schema if isinstance(schema, str) else schema["name"]
        schema = {"type": "record", "name": f"L{level}", "fields": [first, {"name": "b", "type": again}]}
    return dict(schema)


def number(value: int) -> bytes:
    """As Avro writes a long."""
    value, out = (value << 1) ^ (value >> 63), bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def decode(schema: Any, payload: bytes) -> Any:
    return decoder(Schema("AVRO", json.dumps(schema)))(payload)


TOO_MUCH = f"more than {MOST_VALUES} values"


@pytest.mark.parametrize(
    ("schema", "payload", "why"),
    [
        ({"type": "array", "items": "null"}, number(1 << 60) + b"\0", TOO_MUCH),
        ({"type": "array", "items": "null"}, number(-(1 << 60)) + b"\0\0", TOO_MUCH),
        ({"type": "array", "items": "null"}, (number(600_000) * 2) + b"\0", TOO_MUCH),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, number(1 << 40) + b"\0", TOO_MUCH),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, number(1 << 40), TOO_MUCH),
        ({"type": "array", "items": WIDE}, number(500) + b"\0" * 501, TOO_MUCH),
        ({"type": "array", "items": "boolean"}, number(2_000_000) + b"\0" * 2_000_001, TOO_MUCH),
        (doubled(40), b"", TOO_MUCH),
        (NODE, b"\x02" * 300 + b"\0", "nested more than 200 levels"),
        # This one would end the process.
        (NODE, b"\x02" * 5_000_000 + b"\0", "nested more than 200 levels"),
        ({"type": "array", "items": NODE}, b"\x02" * 5_000_000, "nested more than 200 levels"),
        (DECIMAL, number(1_000_000) + b"\x7f" * 1_000_000, "a decimal in it has 1000000 bytes"),
        ({"type": "map", "values": DECIMAL}, b"\x02\x02k" + number(1_001) + b"\x7f" * 1_001 + b"\0", "a decimal in it"),
        (NODE, b"\x06", "not Avro of its schema: its union has no type 3"),
        (NODE, b"\x02", "not Avro of its schema"),
        (NODE, b"\xff" * 20, "not Avro of its schema: a number in it does not end"),
        ({"type": "array", "items": ["null", NODE, "string"]}, b"\x02\x04\x7f", "where there are not as many"),
    ],
)
def test_it_is_dead_with_a_reason(schema: Any, payload: bytes, why: str) -> None:
    with pytest.raises(InvalidEvent, match=why) as refused:
        decode(schema, payload)
    assert "Error" not in str(refused.value)


def test_what_is_within_bounds_is_read() -> None:
    assert decode({"type": "array", "items": "null"}, number(1_000) + b"\0") == [None] * 1_000
    assert decode({"type": "array", "items": "boolean"}, number(900_000) + b"\1" * 900_000 + b"\0") == [True] * 900_000
    found, depth = decode(NODE, b"\x02" * 150 + b"\0"), 0
    while found is not None:
        found, depth = found["next"], depth + 1
    assert depth == 151
    digits = b"\x7f" * LONGEST_DECIMAL_BYTES
    assert decode(DECIMAL, number(len(digits)) + digits) == str(int.from_bytes(digits, "big"))


def test_walking_over_a_payload_goes_where_decoding_goes() -> None:
    """A schema with everything, which refers to itself and so is always walked over."""
    schema: Any = {
        "type": "record",
        "name": "x.All",
        "fields": [
            {"name": "none", "type": "null"},
            {"name": "yes", "type": "boolean"},
            {"name": "whole", "type": "long"},
            {"name": "real", "type": ["float", "double"]},
            {"name": "raw", "type": "bytes"},
            {"name": "text", "type": {"type": "string"}},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
            {"name": "again", "type": "Kind"},
            {"name": "four", "type": {"type": "fixed", "name": "Four", "size": 4}},
            {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            {"name": "many", "type": {"type": "array", "items": ["null", "x.All"]}},
            {"name": "by", "type": {"type": "map", "values": {"type": "array", "items": "int"}}},
        ],
    }
    leaf: dict[str, Any] = {
        "none": None,
        "yes": True,
        "whole": -(1 << 62),
        "real": 0.5,
        "raw": b"\0\1",
        "text": "t\u00e4",
        "kind": "B",
        "again": "A",
        "four": b"1234",
        "fare": Decimal("1.25"),
        "many": [],
        "by": {},
    }
    value = {**leaf, "many": [None, leaf, None], "by": {"a": [1, -2, 3], "b": []}}
    named: dict[str, Any] = {}
    parsed = fastavro.parse_schema(schema, named_schemas=named)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, value)
    payload = out.getvalue()
    Weight(parsed, named).check(payload)
    for short in range(len(payload)):
        with pytest.raises(InvalidEvent, match="not Avro of its schema"):
            Weight(parsed, named).check(payload[:short])
