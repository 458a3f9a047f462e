"""What a process prints, as lines, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Callable

MOST_LINES = 10_000
MOST_BYTES = 1 << 20
LINE_BYTES = 16_384
DROPPED = f"more than {MOST_LINES:,} lines or {MOST_BYTES >> 20} MiB in one attempt: the rest is not kept"


class Allowance:
    """How much an attempt may still tell."""

    def __init__(self) -> None:
        self._lines = MOST_LINES
        self._bytes = MOST_BYTES
        self._told = False

    @property
    def spent(self) -> bool:
        """Whether nothing more is taken."""
        return self._lines <= 0 or self._bytes <= 0

    def take(self, size_bytes: int) -> bool:
        """Whether one more line is kept."""
        if self.spent:
            return False
        self._lines -= 1
        self._bytes -= size_bytes
        return True

    def first_refusal(self) -> bool:
        """True once: when to say that something is dropped."""
        told, self._told = self._told, True
        return not told


class Lines:
    """Cuts what arrives from a pipe into lines. Of a line drawn over with carriage returns, the last state counts."""

    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Tell the lines that `data` completes, each with its size in bytes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._tell_line(line)
        if len(self._rest) > LINE_BYTES:
            self.end()

    def end(self) -> None:
        """Tell what came after the last newline."""
        rest, self._rest = self._rest, b""
        if rest:
            self._tell_line(rest)

    def _tell_line(self, line: bytes) -> None:
        shown = line.rstrip(b"\r").rpartition(b"\r")[2][:LINE_BYTES]
        self._tell(shown.decode("utf-8", "replace"), len(line) + 1)
