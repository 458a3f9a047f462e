"""What can be computed over the records of a window. Pure: the state of an aggregate is a JSON value."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from triggers.declared import Declared

# Whole numbers beyond this are not exact in JSON (RFC 8259 section 6), values beyond that might not add up to a number.
_EXACT = 2**53
_LARGEST = 1e100


class Unusable(ValueError):
    """A value that no number can be made of, or none that can be computed with."""


@dataclass(frozen=True)
class Aggregate(metaclass=Declared):
    """Something computed over the numbers at `path`, a path as in `where`. Records that have none there do not count.

    An aggregate of one's own begins with a state that JSON can hold, folds each number into it in the order of the
    records, and in the end makes the result of it. It must not depend on anything else: after a crash it is folded
    again.
    """

    path: str = ""

    def begin(self) -> Any:
        """The state before the first number."""
        return None

    @abstractmethod
    def fold(self, state: Any, number: float) -> Any:
        """The state after one more number; `state` may be changed and returned."""

    def result(self, state: Any) -> Any:
        """The JSON value in the event; by itself, the state."""
        return state

    def number(self, value: Any) -> float | None:
        """The number to fold that a record's value is, None for no value. Raises `Unusable`."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return _flag_or_fail(value)
        if not abs(value) <= _LARGEST:
            raise Unusable(f"{value!r} is too large to compute with")
        return value if isinstance(value, float) or abs(value) <= _EXACT else float(value)


@dataclass(frozen=True)
class Count(Aggregate):
    """How many records there are, or with `path` how many have a value there, whatever it is."""

    def begin(self) -> int:
        return 0

    def fold(self, state: int, number: float) -> int:
        return state + 1

    def number(self, value: Any) -> float | None:
        return 1 if value is not None or not self.path else None


@dataclass(frozen=True)
class Sum(Aggregate):
    """The sum, 0 for no numbers. Whole numbers stay whole while JSON can hold them exactly."""

    def begin(self) -> float:
        return 0

    def fold(self, state: float, number: float) -> float:
        total = state + number
        return total if abs(total) <= _EXACT else float(total)


@dataclass(frozen=True)
class Mean(Aggregate):
    """The arithmetic mean, null for no numbers. Of true and false: the share that is true."""

    def begin(self) -> list[float]:
        return [0.0, 0]

    def fold(self, state: list[float], number: float) -> list[float]:
        state[0] += number
        state[1] += 1
        return state

    def result(self, state: list[float]) -> float | None:
        return state[0] / state[1] if state[1] else None


@dataclass(frozen=True)
class Min(Aggregate):
    """The smallest number, null for none."""

    def fold(self, state: float | None, number: float) -> float:
        return number if state is None or number < state else state


@dataclass(frozen=True)
class Max(Aggregate):
    """The largest number, null for none."""

    def fold(self, state: float | None, number: float) -> float:
        return number if state is None or number > state else state


def _flag_or_fail(value: Any) -> float:
    if isinstance(value, bool):
        return int(value)
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:80]
    raise Unusable(f"{shown} is no number")
