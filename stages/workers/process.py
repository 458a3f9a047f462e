"""One worker process as the daemon holds it: started, asked one thing at a time, stopped for real."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from stages.errors import StageError
from stages.workers.lines import Lines
from stages.workers.wire import Message, Unpacker
from triggers import faults

FOLDER = str(Path(__file__).parent)
READ_BYTES = 1 << 16
STREAMS = ("stdout", "stderr")
KILL_S = 10.0

Printed = Callable[[str, str, int], None]
Heard = Callable[[Message], None]


class WorkerLost(StageError):
    """The worker's process ended, or was never there. Says how."""

    transient = True


class _Process(asyncio.SubprocessProtocol):
    def __init__(self, exited: Callable[[], None]) -> None:
        self._exited = exited

    def process_exited(self) -> None:
        self._exited()


class _Link(asyncio.Protocol):
    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


class WorkerProcess:
    """`printed` hears of every line on stdout and stderr: which of the two, the line, and its size in bytes.

    `loaded` are its pipelines, `holds` the artifacts that it keeps in memory, by digest, with their bytes.

    The process leads a session of its own: Ctrl-C in the daemon's terminal does not reach it, and whatever its stages
    start ends with it. Its temporary files have a folder of their own and go with it too.
    """

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.holds: Mapping[str, int] = {}
        self.printed: Printed = lambda stream, line, size_bytes: None
        self._folder = ""
        self._process: asyncio.SubprocessTransport | None = None
        self._link: asyncio.Transport | None = None
        self._held: list[int] = []
        self._lines = {stream: Lines(self._teller(stream)) for stream in STREAMS}
        self._pipes: dict[str, int] = {}
        self._unpacker = Unpacker()
        self._heard: Heard = _nobody
        self._done: asyncio.Future[Message] | None = None
        self._gone = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether it runs and can be asked."""
        return self._process is not None and not self._gone.is_set() and self._done is None

    async def start(self) -> None:
        """Start the process. Raises `WorkerLost` where the machine has no room for one."""
        try:
            await self._start()
        except OSError as error:
            self._release()
            raise WorkerLost(f"no worker process could be started: {error}") from error

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._folder = tempfile.mkdtemp(prefix="tidemill-worker-")
        mine, its = socket.socketpair()
        lifeline, held = os.pipe()
        given = [its.detach(), lifeline]
        self._held.append(held)
        try:
            await faults.reach("worker.start")
            self._link, _ = await loop.create_unix_connection(lambda: _Link(self._received, self._kill), sock=mine)
            outputs = [self._open_pipe(stream, given) for stream in STREAMS]
            self._process, _ = await loop.subprocess_exec(
                lambda: _Process(self._exited),
                *(sys.executable, FOLDER, *map(str, given[:2])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                pass_fds=given[:2],
                start_new_session=True,
                env={**os.environ, "TMPDIR": self._folder},
            )
            await faults.reach("worker.started")
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _open_pipe(self, stream: str, given: list[int]) -> int:
        """A pipe for what is printed; returns the end to write to, which is also added to `given`."""
        self._pipes[stream], writing = os.pipe()
        given.append(writing)
        os.set_blocking(self._pipes[stream], False)
        asyncio.get_running_loop().add_reader(self._pipes[stream], self._read, stream)
        return writing

    async def ask(self, question: bytes, heard: Heard) -> Message:
        """Send a `load` or `call` and return its `done`; other messages on the way go to `heard`.

        Raises `WorkerLost`. When the wait is cut short, the worker can only be stopped.
        """
        if self._link is None or self._gone.is_set():
            raise WorkerLost("the worker process is gone")
        self._heard = heard
        self._done = asyncio.get_running_loop().create_future()
        self._link.write(question)
        done = await self._done
        self.holds = done.head["holds"]
        self._done = None
        self._drain()
        return done

    def tell(self, message: bytes) -> None:
        """Send an `answer` or a `mute`. What nobody is there to hear is lost."""
        if self._link is not None:
            self._link.write(message)

    async def stop(self, grace_s: float) -> None:
        """Interrupt the process, kill it after `grace_s`, and return when it has ended. Safe to call twice."""
        try:
            if self._process is not None and not self._gone.is_set():
                with suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGTERM)
                await self._ended(grace_s)
        finally:
            self._kill()
            self._heard = _nobody
        await self._ended(KILL_S)
        self._release()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _ended(self, within_s: float) -> None:
        if self._process is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._gone.wait()

    def _kill(self) -> None:
        """Kill what is left of the process and of all that it started; later its number may be another's."""
        if self._process is not None and not self._gone.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.get_pid(), signal.SIGKILL)

    def _release(self) -> None:
        """Let go of every descriptor."""
        for stream in list(self._pipes):
            self._close_pipe(stream)
        while self._held:
            os.close(self._held.pop())
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            self._process.close()

    def _received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            if message.kind != "done":
                self._heard(message)
            elif self._done is not None and not self._done.done():
                self._done.set_result(message)

    def _exited(self) -> None:
        """Its last words are read before anybody hears of it."""
        self._kill()
        self._gone.set()
        self._drain()
        if self._done is not None and not self._done.done():
            self._done.set_exception(WorkerLost(self._ending()))

    def _ending(self) -> str:
        code = self._process.get_returncode() if self._process is not None else None
        if code is None or code >= 0:
            return f"the worker process ended by itself, with exit code {code}"
        name = signal.Signals(-code).name
        why = ": out of memory, or killed by hand" if code == -signal.SIGKILL else ""
        return f"the worker process was ended by {name}{why}"

    def _teller(self, stream: str) -> Callable[[str, int], None]:
        return lambda line, size_bytes: self.printed(stream, line, size_bytes)

    def _read(self, stream: str) -> int:
        """Take what has been printed by now, up to a bound; returns how many bytes."""
        try:
            data = os.read(self._pipes[stream], READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._lines[stream].feed(data)
        else:
            self._close_pipe(stream)
        return len(data)

    def _drain(self) -> None:
        """Take what is in the pipes: it was printed before what was just heard on the link."""
        for stream in list(self._pipes):
            for _ in range(4):
                if stream not in self._pipes or not self._read(stream):
                    break
            self._lines[stream].end()

    def _close_pipe(self, stream: str) -> None:
        pipe = self._pipes.pop(stream)
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)


def _nobody(message: Message) -> None:
    """Nobody wants to hear it any more."""
