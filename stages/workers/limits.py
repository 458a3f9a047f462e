"""What one attempt may take of its worker, and that it leaves the worker as it found it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DATA_PAGES = 5  # in /proc/self/statm: the "data" field of proc(5)


@contextmanager
def within(memory_bytes: int | None) -> Iterator[None]:
    """Let the block allocate `memory_bytes` more than the process has now: beyond it, allocating raises MemoryError.

    RLIMIT_DATA, not RLIMIT_AS: address space that allocators and threads reserve but do not use is no memory. Linux
    only; elsewhere nothing is limited.
    """
    if memory_bytes is None or sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def left_as_found() -> Iterator[None]:
    """Undo what the block does to the working folder and the environment variables."""
    folder, variables = Path.cwd(), dict(os.environ)
    try:
        yield
    finally:
        os.chdir(folder)
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)


def _data_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[_DATA_PAGES]
    return int(pages) * resource.getpagesize()
