"""The daemon's hold on a server that runs under `supervisor.py`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from service.embedded.supervisor import BUSY, LAST_WORDS_S
from service.errors import ServiceError
from triggers import faults

T = TypeVar("T")
SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a server runs as when the daemon is root. `capability` is the one it keeps (capabilities(7))."""

    uid: int
    gid: int
    capability: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the supervisor shall run. `ready` is the text in the server's output that says it serves.

    `lock` is held while any process of the server lives. `input` becomes its stdin. `remove` names flat folders to
    remove after its end.
    """

    command: Sequence[str]
    folder: str
    lock: str
    log: str
    ready: str = ""
    input: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    run_as: Account | None = None
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    remove: Sequence[str] = ()


class ChildFailed(ServiceError):
    """A server did not start, not in time, or ended on its own."""


class Child:
    """One supervised server process."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def start(self, timeout_s: float) -> None:
        """Return when the server has said it is ready. Raises `ChildFailed`; nothing runs then."""
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            process = await self._spawn()
            if await self._in_time(_output(process).readline(), timeout_s) != b"ready\n":
                raise self._failed(await self._in_time(process.wait(), timeout_s))
            undo.pop_all()

    async def run(self, timeout_s: float) -> None:
        """Return when the command has ended with exit code 0. Raises `ChildFailed`; nothing runs then."""
        try:
            process = await self._spawn()
            code = await self._in_time(process.wait(), timeout_s)
        finally:
            await self.stop()
        if code != 0:
            raise self._failed(code)

    async def watch(self) -> None:
        """Return after `stop`; raise `ChildFailed` when the server ends without it."""
        if self._process is None:
            return
        code = await self._process.wait()
        if not self._stopping:
            raise self._failed(code)

    async def stop(self) -> None:
        """Stop the server and wait until it is gone. Safe to call twice."""
        process, self._stopping = self._process, True
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(self._order.grace_s + 3 * LAST_WORDS_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def last_words(self) -> str:
        """The end of the server's log, for an error message."""
        try:
            with open(self._order.log, "rb") as log:  # noqa: PTH123
                log.seek(max(0, os.fstat(log.fileno()).st_size - 2_000))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return " | ".join(lines[-4:]) or "it said nothing"

    async def _in_time(self, answer: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise ChildFailed(f"it was not ready after {timeout_s:g} s: {self.last_words()}") from None

    async def _spawn(self) -> asyncio.subprocess.Process:
        order = json.dumps(asdict(self._order) | {"daemon": os.getpid()})
        # A session of its own: Ctrl-C in the daemon's terminal is for the daemon, which then stops the server.
        try:
            await faults.reach("server.start")
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SUPERVISOR), order),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            await faults.reach("server.started")
        except OSError as error:
            raise ChildFailed(f"no process for it can be started: {error}") from error
        return self._process

    def _failed(self, code: int) -> ChildFailed:
        if code == BUSY:
            return ChildFailed(f"another process holds {self._order.lock}")
        return ChildFailed(f"it ended with exit code {code}: {self.last_words()}")


def _output(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert process.stdout is not None
    return process.stdout
