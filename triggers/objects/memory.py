"""Which objects were told of: eight bytes for each, so that a bucket of millions is remembered in a bounded memory."""

from __future__ import annotations

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

# How many marks a stored row holds, and how many may be unsorted in memory.
ROW_MARKS = 512
MOST_RECENT = 10_000


def mark_of(key: str, state: str) -> int:
    """A 64-bit mark of an object in a state. Two of a million objects share one with a chance of 1 in 37 million."""
    digest = hashlib.blake2b(f"{key}\0{state}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Marks:
    """A set of marks: most of them sorted in one array, the latest beside it."""

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(set(marks)))
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, mark: int) -> bool:
        if mark in self._recent:
            return True
        at = bisect_left(self._sorted, mark)
        return at < len(self._sorted) and self._sorted[at] == mark

    def add(self, marks: Iterable[int]) -> None:
        """Take these too."""
        self._recent.update(mark for mark in marks if mark not in self)
        if len(self._recent) > max(MOST_RECENT, len(self._sorted) // 4):
            self._sorted = array("Q", sorted([*self._sorted, *self._recent]))
            self._recent = set()


def packed(marks: Iterable[int]) -> str:
    """Marks as they are stored, smallest first."""
    raw = array("Q", sorted(marks))
    if sys.byteorder == "little":
        raw.byteswap()
    return base64.b64encode(raw.tobytes()).decode()


def unpacked(text: str) -> array[int]:
    """The marks that `packed` wrote."""
    raw = array("Q")
    raw.frombytes(base64.b64decode(text))
    if sys.byteorder == "little":
        raw.byteswap()
    return raw


def row_of(text: str) -> str:
    """The key under which packed marks are stored: that of their content, so that no two daemons overwrite others'."""
    return "marks/" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def rows_of(marks: Sequence[int]) -> list[str]:
    """Packed rows that hold these sorted marks."""
    return [packed(marks[start : start + ROW_MARKS]) for start in range(0, len(marks), ROW_MARKS)]
