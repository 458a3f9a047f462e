"""JSON values with one part of them swapped for a value of another type: what nobody who wrote a reader thought of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

OTHERS: tuple[Any, ...] = (None, True, 7, -1.5, "", "x", [], ["x"], {}, {"x": 1}, [[]], [None])


def swapped(value: Any, others: tuple[Any, ...] = OTHERS) -> Iterator[Any]:
    """The value with itself, and every value in it, swapped for each of the others that is of another type."""
    yield from (one for one in others if type(one) is not type(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {other: one for other, one in value.items() if other != name}
            yield from (value | {name: one} for one in swapped(inner, others))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], one, *value[at + 1 :]] for one in swapped(inner, others))
