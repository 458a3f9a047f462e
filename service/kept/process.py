"""A process with kept code, as the daemon holds it: started with a path of its own, answered, ended."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service.kept.link import Loaded, Order, Refused, receive, send
from service.outbox import Outbox
from stages.code_root import CODE_VARIABLE
from stages.environments.minimum import floors, is_project
from stages.errors import InvalidParams, Permanent
from triggers import faults

LOAD_S = 120.0
LEAVE_S = 10.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from service.kept.guest import main; main(int(sys.argv[2]))"
)


class KeptProcess:
    """One process, from `start` until `run` returns."""

    def __init__(self, order: Order, code: Path, outbox: Outbox) -> None:
        self._order = order
        self._code = code
        self._outbox = outbox

    async def run(self) -> str | None:
        """Start it and answer it until it ends. The answer is why the code cannot be run, None where it was run.

        Raises OSError where the machine has no room for a process.
        """
        mine, its = socket.socketpair()
        with its:
            reader, writer = await asyncio.open_connection(sock=mine)
            try:
                process = await self._started(its)
            except BaseException:
                writer.close()
                raise
        try:
            await send(writer, self._order)
            refused = await self._loaded(reader)
            if refused is None:
                await self._answer(reader, writer)
        except ConnectionError:
            refused = None
        finally:
            writer.close()
            await _ended(process)
        return refused

    async def _started(self, its: socket.socket) -> asyncio.subprocess.Process:
        """A session of its own: Ctrl-C is for the daemon, which lets this one give its runs back."""
        path = import_path(self._code, self._order.settings.home)
        without = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH")
        kept = {name: value for name, value in os.environ.items() if name not in without}
        await faults.reach("kept.start")
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _START, json.dumps(path), str(its.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,
            env={**kept, CODE_VARIABLE: str(self._code)},
        )

    async def _loaded(self, reader: asyncio.StreamReader) -> str | None:
        try:
            async with asyncio.timeout(LOAD_S):
                first = await receive(reader)
        except TimeoutError:
            return f"it was not loaded within {LOAD_S:g} s"
        match first:
            case Loaded():
                return None
            case Refused():
                return first.reason
            case _:
                return "the process that was to load it ended: the daemon's log has its last words"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (question := await receive(reader)) is not None:
            try:
                rows = self._outbox.rows(question)
                answer: object = (rows.events, rows.runs, rows.fates)
            except (Permanent, InvalidParams) as error:
                answer = type(error)(str(error))
            await send(writer, answer)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """It gives back what it has once nobody answers; what does not end by then is killed."""
    try:
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def import_path(code: Path, home: Path) -> Sequence[str]:
    """The kept code, our own three packages, and what is installed: nothing of the project as it is today."""
    links = floors(home / "environments")
    return [str(code), str(links), *(entry for entry in sys.path if entry and not is_project(entry))]
