"""Whether a value that an author declares is a number one can reckon with."""

from __future__ import annotations


def is_number(value: object, low: float, high: float) -> bool:
    """Whether it is a number from `low` to `high`. True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether it is a whole number from `low` to `high`."""
    return isinstance(value, int) and is_number(value, low, high)
