"""What a process prints, as lines."""

from __future__ import annotations

from collections.abc import Callable

LINE_BYTES = 32_768


class Lines:
    """Cuts what arrives from a pipe into lines. Of a line drawn over with carriage returns, the last state counts.

    Of a line longer than `LINE_BYTES` the beginning is held, and the rest only counted.
    """

    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        self._rest = b""
        self._beyond_bytes = 0

    def feed(self, data: bytes) -> None:
        """Tell the lines that `data` completes, each with its size in bytes."""
        first, *others = data.split(b"\n")
        self._more(first)
        for line in others:
            self._end_line()
            self._more(line)

    def end(self) -> None:
        """Tell what came after the last newline."""
        if self._rest:
            self._end_line()

    def _more(self, part: bytes) -> None:
        room = LINE_BYTES - len(self._rest)
        if len(part) > room and b"\r" in part:
            # A progress bar may run for days without a newline: it is told now and then.
            self._rest += part
            self._end_line()
            return
        self._rest += part[:room]
        self._beyond_bytes += max(len(part) - room, 0)

    def _end_line(self) -> None:
        rest, self._rest = self._rest, b""
        beyond_bytes, self._beyond_bytes = self._beyond_bytes, 0
        shown = rest.rstrip(b"\r").rpartition(b"\r")[2][:LINE_BYTES]
        self._tell(shown.decode("utf-8", "replace"), len(rest) + beyond_bytes + 1)
