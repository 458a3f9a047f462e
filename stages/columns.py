"""Whether JSON objects are rows of one table: a column holds values of one kind, and numbers that 64 bits hold. Pure.

What libraries do with other values depends on what else is in the batch, and on the library: here it is said before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

_MOST = 2**63
_EXACT = 2**53
_DEEPEST = 100
_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with a column: `why` in words. `alone`: the row number `at` is at fault by itself."""

    at: int
    why: str
    alone: bool


@dataclass(frozen=True, slots=True)
class _Column:
    """Values that are to be of one kind, with the numbers of the rows that each is in."""

    path: str
    values: Sequence[Any]
    rows: Sequence[int]
    depth: int = 0


def misfits(rows: Sequence[Row], raw: Sequence[bytes | None]) -> Iterator[Misfit]:
    """What keeps `rows` from being a table, if anything. `raw` are the JSON texts that they were read from."""
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        yield from _in_column(_Column(name, values, range(len(rows))), raw)


def _in_column(column: _Column, raw: Sequence[bytes | None]) -> Iterator[Misfit]:
    kinds = set(map(type, column.values)) - {type(None)}
    named = {_NAMES[kind] for kind in kinds}
    if len(named) > 1:
        yield _mixed(column)
    elif int in kinds or float in kinds:
        yield from _too_large(column, kinds, raw)
    elif column.depth == _DEEPEST:
        yield Misfit(column.rows[0], f"column {column.path[:50]!r} is nested more than {_DEEPEST} levels deep", False)
    elif dict in kinds:
        held = [(value, at) for value, at in zip(column.values, column.rows, strict=True) if value is not None]
        for name in dict.fromkeys(name for value, _ in held for name in value):
            values, rows = [value.get(name) for value, _ in held], [at for _, at in held]
            yield from _in_column(_Column(f"{column.path}.{name}", values, rows, column.depth + 1), raw)
    elif list in kinds:
        items = [(item, at) for value, at in zip(column.values, column.rows, strict=True) for item in value or ()]
        values, rows = [item for item, _ in items], [at for _, at in items]
        yield from _in_column(_Column(f"{column.path}[]", values, rows, column.depth + 1), raw)


def _mixed(column: _Column) -> Misfit:
    found: dict[str, int] = {}
    for value, at in zip(column.values, column.rows, strict=True):
        if value is not None:
            found.setdefault(_NAMES[type(value)], at)
    (first, _), (second, at) = list(found.items())[:2]
    return Misfit(at, f"column {column.path!r} is {second} here and {first} before", alone=False)


def _too_large(column: _Column, kinds: set[type], raw: Sequence[bytes | None]) -> Iterator[Misfit]:
    present = [value for value in column.values if value is not None]
    if min(present) >= -_EXACT and max(present) <= _EXACT:
        return
    for value, at in zip(column.values, column.rows, strict=True):
        if value is None or -_EXACT <= value <= _EXACT:
            continue
        whole = isinstance(value, int)
        if not -_MOST <= value < _MOST and (whole or _has_long_digits(raw[at])):
            yield Misfit(
                at, f"column {column.path!r} holds a whole number of more than 64 bits with a sign", alone=True
            )
        elif whole and float in kinds:
            why = f"column {column.path!r} holds {value}, which is not exact beside numbers with a fraction"
            yield Misfit(at, why, alone=True)


def _has_long_digits(text: bytes | None) -> bool:
    """Whether some whole number in a JSON text has more digits than its reader kept."""
    found: list[str] = []

    def note(digits: str) -> int:
        found.append(digits)
        return 0

    json.loads(text or b"null", parse_int=note)
    return any(len(digits.lstrip("-")) > 18 and not -_MOST <= int(digits[:400]) < _MOST for digits in found)
