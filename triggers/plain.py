"""Whether what an author declares can be written as JSON, as all that is shown and kept of a trigger is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from reprlib import Repr
from typing import Any

_SHOWN = Repr()
_SHOWN.maxother = 80
_DEEPEST = 100
_WHOLE = 2**63


def not_json(value: Any) -> str | None:
    """What in a value cannot be written as JSON, and what to give instead; None where all can. Never recurses."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for one in level:
            if (wrong := _wrong(one)) is not None:
                return wrong
            below += _within(one)
        if not below:
            return None
        level = below
    return f"more than {_DEEPEST} levels, one within the other: say it in fewer"


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return (*value, *value.values())
    return value if isinstance(value, list | tuple) else ()


def _wrong(value: Any) -> str | None:
    if isinstance(value, str):
        return None if is_text(value) else f"{_SHOWN.repr(value)}: give text that can be written as UTF-8, without NUL"
    if isinstance(value, bool | Mapping | list | tuple | None):
        return None
    if isinstance(value, int):
        return None if -_WHOLE <= value < 2 * _WHOLE else f"a whole number of {value.bit_length()} bits: give up to 64"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r}: give a finite number"
    if isinstance(value, set | frozenset):
        return f"the set {_SHOWN.repr(value)}: give a list"
    such = "text, a number, True, False, None, a list or a mapping"
    return f"something of type {type(value).__name__}, {_SHOWN.repr(value)}: give {such}"


def is_text(value: str) -> bool:
    """Whether a database takes it as text."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
