"""A contender as a process that is asked for work, with a database and a folder of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.daemons import children, cpu_s
from benchmarks.ground import Ground
from benchmarks.peers.environments import ROOT, python_of

READY_S = 180.0
ANSWER_S = 600.0
LEAVE_S = 10.0
LONGEST_ANSWER = 1 << 24


@dataclass(frozen=True, slots=True)
class Asked:
    """A contender that is ready."""

    name: str
    process: asyncio.subprocess.Process

    async def ask(self, question: str) -> Any:
        """`runs N` answers seconds; `latency N` answers seconds to the first step and to the end, N times."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{question}\n".encode())
        return await self.answer(ANSWER_S)

    async def answer(self, within_s: float) -> Any:
        """The next line it says. Raises RuntimeError when it ended instead."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; what it said stands above")
        return orjson.loads(line)

    def cpu_s(self) -> float:
        """CPU time of it, and of the servers it started, so far. Postgres' is not in it."""
        return cpu_s([self.process.pid, *children(self.process.pid)])


@asynccontextmanager
async def contender(name: str, here: Ground, turn: int, in_flight: int) -> AsyncIterator[Asked]:
    """Start one on an empty database, and end it with all that it started."""
    python = await python_of(name)
    database, folder = f"{name}_{turn}", here.folder / f"{name}-{turn}"
    folder.mkdir()
    await here.execute(f"create database {database}")
    place = replace(here, dsn=here.dsn.replace("/tidemill?", f"/{database}?"))
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-P", "-m", f"benchmarks.peers.{name}", place.dsn, str(folder), str(in_flight)),
        env=_environment(python),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_ANSWER,
        start_new_session=True,
    )
    try:
        asked = Asked(name, process)
        await asked.answer(READY_S)
        yield asked
    finally:
        await _end(process)
        await here.execute(f"drop database {database} with (force)")


def _environment(python: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL_", "PREFECT_"))}
    path = os.pathsep.join([str(python.parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT)}


async def _end(process: asyncio.subprocess.Process) -> None:
    """By the end of its questions; and for whoever does not hear that, by a kill of its session."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
