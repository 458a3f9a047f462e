"""Lines on their way to Postgres: from any thread, in order, a bounded number, and never many in one flush."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress

from service.db.stage_logs import LogRow, PutLogLines
from service.db.writer import Writer

BATCH = 2_000
MOST_LINES = 40_000
MOST_BYTES = 16 << 20


class LogQueue:
    """One write is under way at a time: a storm of lines takes a small part of each flush, and no more."""

    def __init__(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._loop = loop
        self._guard = threading.Lock()
        self._waiting: deque[tuple[LogRow, int]] = deque()
        self._unwritten_lines = 0
        self._unwritten_bytes = 0
        self._woken = False
        self._writing = 0

    def put(self, row: LogRow, size_bytes: int) -> bool:
        """Take a line, from any thread; False when Postgres has been away so long that there is no room for it."""
        with self._guard:
            if self._unwritten_lines >= MOST_LINES or self._unwritten_bytes >= MOST_BYTES:
                return False
            self._waiting.append((row, size_bytes))
            self._unwritten_lines += 1
            self._unwritten_bytes += size_bytes
            wake, self._woken = not self._woken, True
        if wake:
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._next)
        return True

    def push(self) -> None:
        """Hand over everything at once: what follows must not be written before it."""
        while self._hand_over(MOST_LINES):
            pass

    def _next(self) -> None:
        with self._guard:
            self._woken = False
        if not self._writing:
            self._hand_over(BATCH)

    def _hand_over(self, limit: int) -> bool:
        if not self._waiting:
            return False
        with self._guard:
            taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        if not taken:
            return False
        size_bytes = sum(size for _, size in taken)
        self._writing += 1
        self._writer.later(PutLogLines([row for row, _ in taken], lambda: self._done(len(taken), size_bytes)))
        return True

    def _done(self, lines: int, size_bytes: int) -> None:
        self._writing -= 1
        with self._guard:
            self._unwritten_lines -= lines
            self._unwritten_bytes -= size_bytes
        self._next()
