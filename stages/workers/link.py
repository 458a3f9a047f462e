"""A worker's link to its daemon: every thread of the worker speaks over it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

from stages.log_lines import line_of, text_of
from stages.workers.wire import from_text, pack

PROGRESS_S = 0.05


class Stopped(KeyboardInterrupt):
    """Raised in the stage when the daemon stops it. Like Ctrl-C: `finally` runs, and asyncio cancels its tasks."""


class Link:
    """Sends whole messages, also when a stop interrupts."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._sending = False
        self._put_off = False
        self._process = os.getpid()
        self.stopping = threading.Event()

    @property
    def is_mine(self) -> bool:
        """False in a process that a stage forked: it must not speak in the middle of what its parent says."""
        return os.getpid() == self._process

    def send(self, message: bytes) -> None:
        """Send from any thread; blocks while the daemon is slow to read."""
        if not self.is_mine:
            raise RuntimeError("only the process of the stage itself can do this, not one that it forked")
        if threading.current_thread() is not threading.main_thread():
            with self._lock:
                self._socket.sendall(message)
            return
        self._sending = True
        try:
            with self._lock:
                self._socket.sendall(message)
        finally:
            self._sending = False
        if self._put_off:
            self._put_off = False
            raise Stopped

    def stop(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTERM."""
        self.stopping.set()
        if not self._sending:
            raise Stopped
        self._put_off = True

    def hear_stop(self) -> None:
        """Take SIGTERM for a stop, here but not in forked processes."""
        signal.signal(signal.SIGTERM, self.stop)
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


class Progress:
    """Passes on how far the attempt is, some twenty times a second at most; the last word is never lost."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._next_s = 0.0
        self._latest: bytes | None = None

    def report(self, fraction: float, note: str) -> None:
        """Take note, and tell if it is time."""
        self._latest = pack("progress", from_text(note), fraction=fraction)
        if time.monotonic() >= self._next_s:
            self.tell()

    def tell(self) -> None:
        """Tell the latest that was not told."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._link.send(latest)
            self._next_s = time.monotonic() + PROGRESS_S


class LinkHandler(logging.Handler):
    """Passes on what is logged, or only counts it once the daemon wants no more of this attempt."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._muted = False
        self._dropped_lines = 0
        self._dropped_bytes = 0

    def begin(self) -> None:
        """Another attempt begins."""
        self._muted = False

    def mute(self) -> None:
        """Pass on no more of this attempt."""
        self._muted = True

    def emit(self, record: logging.LogRecord) -> None:
        """Tracebacks become part of the message; a forked process prints instead."""
        if self._muted and self._link.is_mine:
            self._dropped_lines += 1
            self._dropped_bytes += len(text_of(record))
            return
        line = line_of(record)
        if not self._link.is_mine:
            print(line.message, file=sys.stderr, flush=True)
            return
        head = {"name": line.logger, "level": record.levelno, "created": line.at, "fields": line.fields}
        self._link.send(pack("log", from_text(line.message), **head))

    def tell_dropped(self) -> None:
        """Tell how much was not passed on."""
        lines, size_bytes = self._dropped_lines, self._dropped_bytes
        self._dropped_lines = self._dropped_bytes = 0
        if lines:
            self._link.send(pack("dropped", lines=lines, size_bytes=size_bytes))
