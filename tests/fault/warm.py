"""Daemons that start within moments: a process that has imported everything forks one for each order.

python -m tests.fault.warm reads an order a line, as JSON (`environment`, `log`), and answers with the process id of the
daemon; when one has ended it says so, with its exit code. All of them die with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import pkgutil
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
# What a daemon imports as it starts, and what it needs for pipelines of the tests.
_EARLY = (
    "uvloop",
    "service.cli.daemon",
    "service.up",
    "service.logs.daemon",
    "service.api.server",
    "tests.chaos.effects",
)
_FLOORS = ("triggers", "stages", "service")
_LATE = (
    *("service.cli", "service.export", "service.embedded", "service.notify", "service.checkup", "stages.canonical"),
    *("stages.runners.", "triggers.continuous", "triggers.objects", "triggers.stream"),
)


class Warm:
    """Starts daemons, and knows how those that ended did so."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._ends: dict[int, asyncio.Future[tuple[int, float]]] = {}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Warm:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fault.warm"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.ensure_future(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()

    async def start(self, environment: Mapping[str, str], log: Path) -> Living:
        """A daemon with just these variables."""
        assert self._process is not None
        assert self._process.stdin is not None
        async with self._turn:
            order = {"environment": dict(environment), "log": str(log)}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            pid = await asyncio.wait_for(self._born.get(), 30)
            return Living(pid, self._ends[pid])

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = json.loads(line)
            if "born" in told:
                self._ends[told["born"]] = asyncio.get_running_loop().create_future()
                self._born.put_nowait(told["born"])
            else:
                self._ends[told["ended"]].set_result((told["code"], told["at"]))


class Living:
    """One daemon. It is a child of the process that forked it."""

    def __init__(self, pid: int, end: asyncio.Future[tuple[int, float]]) -> None:
        self.pid = pid
        self._end = end

    @property
    def code(self) -> int | None:
        """How it ended: minus the signal, or its exit code; None: it lives."""
        return self._end.result()[0] if self._end.done() else None

    @property
    def died_at(self) -> float:
        """When it ended, in seconds since 1970."""
        return self._end.result()[1]

    def signal(self, number: signal.Signals) -> None:
        """Send it, if there still is somebody to take it."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait for its end."""
        code, _ = await asyncio.shield(self._end)
        return code

    @property
    def stands(self) -> bool:
        """Whether it was stopped."""
        return self.code is None and is_stopped(self.pid)


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped; one that is gone was not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def main() -> None:
    """Fork a daemon for each line; say when one ends."""
    _load()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    rest = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury()
        if 0 in ready:
            text = os.read(0, 65536)
            if not text:
                return
            *lines, rest = (rest + text).split(b"\n")
            for line in lines:
                _fork(json.loads(line), (woken, wake))


def _load() -> None:
    """Import what daemons import, and freeze it, so that children share its pages."""
    for name in _EARLY:
        __import__(name)
    for floor in _FLOORS:
        package = __import__(floor)
        for found in pkgutil.walk_packages(package.__path__, f"{floor}."):
            if not found.name.startswith(_LATE) and not found.name.endswith("__main__"):
                __import__(found.name)
    assert threading.active_count() == 1, "a child has only the thread that forked"
    gc.collect()
    gc.freeze()


def _tell(**told: float) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status), at=time.time())


def _fork(order: Mapping[str, Any], inherited: tuple[int, ...]) -> None:
    pid = os.fork()
    if pid:
        _tell(born=pid)
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in inherited:
        os.close(each)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    code = 1
    try:
        code = _serve(order["environment"], order["log"])
    finally:
        if (error := sys.exception()) is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(environment: Mapping[str, str], log: str) -> int:
    from service.cli.daemon import serve
    from service.cli.main import in_words
    from triggers import faults

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    faults.arm(environment.get("TIDEMILL_FAULTS", ""))
    try:
        in_words(serve)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    main()
