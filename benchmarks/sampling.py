"""Samples of what a process does with its CPU time, taken within: every few milliseconds of it, not of the clock's.

A sampler outside counts a thread that holds the interpreter and waits for a core as busy. Python looks for signals when
a function is entered: what compiled code took is counted for the function that is entered next, mostly its callee.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

EVERY_S = 0.002
ROOT = f"{Path(__file__).parents[1]}/"
PACKAGES = ("/site-packages/", f"/python{sys.version_info.major}.{sys.version_info.minor}/")

Place = tuple[str, str]


@dataclass(slots=True)
class Samples:
    """Stacks of (file, function), the innermost last, and how often each was found."""

    stacks: Counter[tuple[Place, ...]] = field(default_factory=Counter)
    _used_s: dict[int, float] = field(default_factory=dict)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Sample this process in the block. In the main thread."""
        before = signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.stacks.values())

    def _take(self, _: int, frame: FrameType | None) -> None:
        busiest = self._busiest()
        self.stacks[_stack(frame if busiest == threading.get_ident() else sys._current_frames().get(busiest))] += 1

    def _busiest(self) -> int:
        """The thread that has had most CPU time since the last sample."""
        most_s, found = -1.0, threading.get_ident()
        for thread in threading.enumerate():
            if thread.ident is not None and thread.is_alive():
                used_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                since_s = used_s - self._used_s.get(thread.ident, used_s)
                self._used_s[thread.ident] = used_s
                if since_s > most_s:
                    most_s, found = since_s, thread.ident
        return found


def _stack(frame: FrameType | None) -> tuple[Place, ...]:
    found: list[Place] = []
    while frame is not None:
        found.append((_file(frame.f_code.co_filename), frame.f_code.co_qualname))
        frame = frame.f_back
    return tuple(reversed(found))


def _file(path: str) -> str:
    """A path from the root of its package on."""
    for packages in PACKAGES:
        if packages in path:
            return path.rpartition(packages)[2]
    return path.removeprefix(ROOT)
