"""The comparisons of `where`: numbers with numbers, times with times. What cannot be compared never holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "less_than": operator.lt,
    "at_most": operator.le,
    "more_than": operator.gt,
    "at_least": operator.ge,
}


def compares(name: str, operand: Any, value: Any) -> bool:
    """Whether `value` stands to `operand` as the comparison says."""
    wanted, found = _measure(operand), _measure(value)
    if wanted is None or found is None or isinstance(wanted, datetime) is not isinstance(found, datetime):
        return False
    return COMPARISONS[name](found, wanted)


def is_measure(operand: Any) -> bool:
    """Whether it can be compared with: a number, or a time in RFC 3339."""
    return _measure(operand) is not None


def _measure(value: Any) -> float | datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str | datetime):
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if found.tzinfo is None else found
