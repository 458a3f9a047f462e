"""Real processes to start, kill and count."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def running_module(module: str, *given: object, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours that runs a module. It is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, given)),
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def owner_of(server: str, home: Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A process that holds an embedded server."""
    return running_module("tests.fault.server_owner", server, home)


async def next_line(process: asyncio.subprocess.Process) -> str:
    """The next line it prints."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), timeout=30)
    assert line, "the process ended"
    return line.decode().strip()


async def server_gone(lock: Path) -> None:
    """Return when every process of the server has ended: they all hold its lock."""
    with lock.open() as file:
        async with asyncio.timeout(20):
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`."""
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as ps:
        listing, _ = ps.communicate()
    pairs = [(int(child), int(parent)) for child, parent in (line.split() for line in listing.splitlines())]
    found = [pid]
    for one in found:
        found.extend(child for child, parent in pairs if parent == one and child != ps.pid)
    return found[1:]


def kill_all(pids: Iterable[int]) -> None:
    """`kill -9` each of them that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def all_gone(pids: Iterable[int]) -> None:
    """Return when each of these processes has ended. They are not our children: all we can do is look."""
    async with asyncio.timeout(10):
        while running(pids):
            await asyncio.sleep(0.01)


def running(pids: Iterable[int]) -> list[str]:
    """The states of those that run. A zombie has ended: it waits for init to take note."""
    command = ["ps", "-o", "stat=", "-p", ",".join(map(str, pids))]
    states = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [state for state in states if not state.startswith("Z")]
