"""A program run for the daemon: its output heard while it runs, stopped for real, and never outliving the daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stages.workers.lines import Lines
from triggers import faults

GRACE_S = 2.0
KILL_S = 10.0
LINGER_S = 1.0
LAST_LINES = 12
LAUNCH = str(Path(__file__).with_name("launch.py"))
STREAMS = {1: "stdout", 2: "stderr"}

Tell = Callable[[str, str, int], None]
Ask = Callable[[], Awaitable[None]]


class _Protocol(asyncio.SubprocessProtocol):
    def __init__(self, received: Callable[[int, bytes], None], exited: Callable[[], None]) -> None:
        self._received = received
        self._exited = exited
        self._open = set(STREAMS)
        self.quiet = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        self._received(fd, data if isinstance(data, bytes) else data.encode())

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.quiet.set()

    def process_exited(self) -> None:
        self._exited()


class Command:
    """`tell` hears every line it prints: `stdout` or `stderr`, the line, its size in bytes.

    It leads a session of its own: Ctrl-C in the daemon's terminal does not reach it, and whatever it starts ends with
    it. `ask` asks it to stop, where SIGTERM would not do. `last` are its last lines.
    """

    def __init__(
        self,
        program: Sequence[str],
        tell: Tell = lambda stream, line, size_bytes: None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._program = program
        self._tell = tell
        self._environment = dict(os.environ if environment is None else environment)
        self._folder = folder
        self._ask = ask or self._terminate
        self._lines = {number: Lines(self._teller(name)) for number, name in STREAMS.items()}
        self._transport: asyncio.SubprocessTransport | None = None
        self._ended = asyncio.Event()

    async def run(self) -> int:
        """Its exit code, or the number of the signal that ended it as a negative one. `NOT_STARTED`: it cannot be.

        When the wait is cut short, it is asked to stop, and killed with all that it started after `GRACE_S`.
        """
        lifeline, held = os.pipe()
        protocol = _Protocol(lambda number, data: self._lines[number].feed(data), self._exited)
        try:
            await self._start(protocol, lifeline)
            try:
                await self._ended.wait()
            finally:
                await self._stop(protocol)
        finally:
            os.close(held)
        return self._code()

    async def _start(self, protocol: _Protocol, lifeline: int) -> None:
        try:
            await faults.reach("command.start")
            self._transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: protocol,
                *(sys.executable, "-I", "-S", LAUNCH, str(lifeline), *self._program),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[lifeline],
                start_new_session=True,
                env=self._environment,
                cwd=self._folder,
            )
            await faults.reach("command.started")
        finally:
            os.close(lifeline)

    async def _stop(self, protocol: _Protocol) -> None:
        try:
            if not self._ended.is_set():
                await self._ask()
                await _within(GRACE_S, self._ended)
        finally:
            self._kill()
            await _within(KILL_S, self._ended)
            await _within(LINGER_S, protocol.quiet)
            for lines in self._lines.values():
                lines.end()
            if self._transport is not None:
                self._transport.close()

    async def _terminate(self) -> None:
        if self._transport is not None:
            with suppress(ProcessLookupError):
                self._transport.send_signal(signal.SIGTERM)

    def _exited(self) -> None:
        self._kill()
        self._ended.set()

    def _kill(self) -> None:
        """Kill what is left of the process and of all that it started; later its number may be another's."""
        if self._transport is not None and not self._ended.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _code(self) -> int:
        code = None if self._transport is None else self._transport.get_returncode()
        return -signal.SIGKILL if code is None else code

    def _teller(self, stream: str) -> Callable[[str, int], None]:
        def told(line: str, size_bytes: int) -> None:
            self.last.append(line)
            self._tell(stream, line, size_bytes)

        return told


async def _within(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def ending(code: int) -> str:
    """What an exit code says of how a process ended."""
    if code >= 0:
        return f"ended by itself, with exit code {code}"
    why = ": out of memory, or killed by hand" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{why}"
