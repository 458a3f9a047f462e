"""What one attempt may take of its worker, and that it leaves the worker as it found it."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from stages.errors import CpuSpent
from stages.plan import PlanStage

# Between the signal that raises `CpuSpent` and the kernel's kill, for code that does not come back to Python.
CPU_GRACE_S = 5
_DATA_PAGES = 5  # in /proc/self/statm: the "data" field of proc(5)


def bounded(stage: PlanStage, attend: Callable[[], None] = lambda: None) -> PlanStage:
    """The same stage as a blocking one for the main thread, within its limits. `attend` is called before it begins."""
    declared = stage.stage

    def function(**arguments: Any) -> Any:
        attend()
        with left_as_found(), within(declared.memory_bytes), within_cpu(declared.cpu_s):
            if stage.is_async:
                return asyncio.run(declared.function(**arguments))
            return declared.function(**arguments)

    return replace(stage, stage=replace(declared, function=function), is_async=False)


@contextmanager
def within_cpu(cpu_s: float | None) -> Iterator[None]:
    """Let the block use this much CPU time, rounded up to whole seconds: beyond it, it raises `CpuSpent`.

    Call it in the main thread. A block that does not come back to Python is killed `CPU_GRACE_S` later; that second
    limit stays on the process. What the block starts has the same limits, each on its own.
    """
    if cpu_s is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + cpu_s)
    kill = most + CPU_GRACE_S if hard == resource.RLIM_INFINITY else min(most + CPU_GRACE_S, hard)

    def spent(number: int, frame: FrameType | None) -> None:
        raise CpuSpent(f"it used more than {cpu_s:g} s of CPU time: raise its cpu_s, or find out what it does so long")

    previous = signal.signal(signal.SIGXCPU, spent)
    resource.setrlimit(resource.RLIMIT_CPU, (min(most, kill), kill))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (kill if soft == resource.RLIM_INFINITY else min(soft, kill), kill))
        signal.signal(signal.SIGXCPU, previous)


@contextmanager
def within(memory_bytes: int | None) -> Iterator[None]:
    """Let the block allocate `memory_bytes` more than the process has now: beyond it, it raises MemoryError.

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
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    except MemoryError as error:
        said = f": {error}" if str(error) else ""
        told = f"the stage may allocate {memory_bytes} bytes (memory_bytes), and asked for more{said}"
        raise MemoryError(told).with_traceback(error.__traceback__) from None


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
