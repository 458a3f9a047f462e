"""What an Avro payload would become, found out before it is decoded: the decoder itself knows no bounds.

A few bytes may say that an array has 2**60 nulls; a schema that refers to itself may nest a record so deep that the
decoder's C stack ends, and the process with it; a decimal of a megabyte takes minutes to write out. All of these are
dead records here. Walking over a payload costs time, so it is done only where the schema allows such things, or where
the payload is large. Pure. The format is that of the Avro specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triggers.errors import InvalidEvent
from triggers.payload import MAX_DEPTH
from triggers.schemas.bounds import MOST_VALUES

LONGEST_DECIMAL_BYTES = 1_000
"""How long a decimal may be: some 2,400 digits."""

_FIXED_BYTES = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_DECIMAL = "decimal"
_LENGTHS = ("bytes", "string")
_NUMBERS = ("int", "long", "enum")
_RECORDS = ("record", "error")


class Weight:
    """Checks payloads of one schema, parsed by fastavro, whose named types are `named`."""

    def __init__(self, parsed: Any, named: Mapping[str, Any]) -> None:
        self._parsed = parsed
        self._named = named
        bounds = _Bounds(named)
        whole = bounds.look(parsed)
        bounds.repeated(_Shape(whole.values, max(1, whole.size_bytes)))
        # Payloads up to here are small, whatever is in them.
        self._small_bytes = MOST_VALUES // bounds.values_per_byte - 1 if bounds.values_per_byte else -1
        if bounds.has_decimals:
            self._small_bytes = min(self._small_bytes, LONGEST_DECIMAL_BYTES)

    def check(self, payload: bytes) -> None:
        """Raises `InvalidEvent` for one with a million values, 200 levels or a decimal of 1,000 bytes, or more."""
        if len(payload) <= self._small_bytes:
            return
        try:
            _Walk(payload, self._named).over(self._parsed, 0)
        except (IndexError, KeyError, TypeError):
            raise InvalidEvent(f"not Avro of its schema: its {len(payload)} bytes end too early") from None


@dataclass(frozen=True, slots=True)
class _Shape:
    """The most values of something outside of arrays and maps, and the least bytes."""

    values: int
    size_bytes: int


class _Bounds:
    """How many values a byte may be in a schema: `None` where a few bytes may be any number, or ever so deep."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, _Shape | None] = {}
        self.values_per_byte: int | None = 1
        self.has_decimals = False

    def look(self, schema: Any, depth: int = 0) -> _Shape:
        """Look at all of it. A type that has a name is looked at once."""
        if depth > MAX_DEPTH:
            self.values_per_byte = None
            return _Shape(1, 0)
        if isinstance(schema, str) and schema in _FIXED_BYTES:
            return _Shape(1, _FIXED_BYTES[schema])
        if isinstance(schema, str) and schema not in self._named:
            return _Shape(1, 1)
        if isinstance(schema, list):
            return _Shape(max((self.look(one, depth).values for one in schema), default=1), 1)
        schema = _resolved(schema, self._named)
        return self._look_at_record(schema, depth) if schema["type"] in _RECORDS else self._look_inside(schema, depth)

    def repeated(self, shape: _Shape) -> None:
        """Something of this shape may come any number of times."""
        if not shape.size_bytes:
            self.values_per_byte = None
        elif self.values_per_byte is not None:
            self.values_per_byte = max(self.values_per_byte, -(-shape.values // shape.size_bytes))

    def _look_at_record(self, schema: Any, depth: int) -> _Shape:
        name = str(schema["name"])
        if name in self._known:
            known = self._known[name]
            if known is None:
                # It is inside of itself.
                self.values_per_byte = None
            return known or _Shape(1, 0)
        self._known[name] = None
        shapes = [self.look(one["type"], depth + 1) for one in schema["fields"]]
        shape = _Shape(1 + sum(one.values for one in shapes), sum(one.size_bytes for one in shapes))
        self._known[name] = shape
        return shape

    def _look_inside(self, schema: Any, depth: int) -> _Shape:
        kind = schema["type"]
        self.has_decimals = self.has_decimals or schema.get("logicalType") == _DECIMAL
        if kind == "fixed":
            return _Shape(1, int(schema["size"]))
        if kind == "array":
            self.repeated(self.look(schema["items"], depth + 1))
        elif kind == "map":
            inner = self.look(schema["values"], depth + 1)
            self.repeated(_Shape(inner.values, inner.size_bytes + 1))
        return _Shape(1, _FIXED_BYTES.get(kind, 1))


def _resolved(schema: Any, named: Mapping[str, Any]) -> Any:
    return named.get(schema, schema) if isinstance(schema, str) else schema


class _Walk:
    """One way over one payload."""

    def __init__(self, payload: bytes, named: Mapping[str, Any]) -> None:
        self._payload = payload
        self._named = named
        self._at = 0
        self._left = MOST_VALUES

    def over(self, schema: Any, depth: int) -> None:
        """Step over one value."""
        schema = _resolved(schema, self._named)
        while isinstance(schema, list):
            schema = _resolved(schema[self._index(len(schema))], self._named)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, (dict, list)) or kind in self._named:
            self.over(kind, depth)
            return
        self._take(1)
        if depth > MAX_DEPTH:
            raise InvalidEvent(f"its value is nested more than {MAX_DEPTH} levels deep: flatten it")
        if kind in _RECORDS:
            for field in schema["fields"]:
                self.over(field["type"], depth + 1)
        elif kind in ("array", "map"):
            self._over_blocks(schema, kind, depth + 1)
        elif kind in _NUMBERS:
            self._number()
        else:
            size_bytes = self._size(kind, schema)
            if (
                isinstance(schema, dict)
                and schema.get("logicalType") == _DECIMAL
                and size_bytes > LONGEST_DECIMAL_BYTES
            ):
                raise InvalidEvent(f"a decimal in it has {size_bytes} bytes, more than {LONGEST_DECIMAL_BYTES}")
            self._skip(size_bytes)

    def _over_blocks(self, schema: Any, kind: str, depth: int) -> None:
        inner = schema["items" if kind == "array" else "values"]
        while count := self._number():
            if count < 0:
                self._number()
            if abs(count) > self._left:
                self._take(abs(count))
            for _ in range(abs(count)):
                if kind == "map":
                    self._skip(self._number())
                self.over(inner, depth)

    def _size(self, kind: str, schema: Any) -> int:
        if kind in _LENGTHS:
            return self._number()
        return int(schema["size"]) if kind == "fixed" else _FIXED_BYTES[kind]

    def _take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise InvalidEvent(f"its value has more than {MOST_VALUES} values in it: send it in parts")

    def _skip(self, size_bytes: int) -> None:
        if not 0 <= size_bytes <= len(self._payload) - self._at:
            raise InvalidEvent(f"not Avro of its schema: a value of {size_bytes} bytes, where there are not as many")
        self._at += size_bytes

    def _index(self, choices: int) -> int:
        index = self._number()
        if not 0 <= index < choices:
            raise InvalidEvent(f"not Avro of its schema: its union has no type {index}")
        return index

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._payload[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7
            if shift > 63:
                raise InvalidEvent("not Avro of its schema: a number in it does not end")
