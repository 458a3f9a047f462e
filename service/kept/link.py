"""How a daemon and its process with kept code speak: pickles over a socket that only these two have.

The process asks, the daemon answers: what the events are to start that a run has caused is for the pipelines and
triggers that are loaded today.
"""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import dataclass
from typing import Any

from service.settings import Settings

_SIZE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Order:
    """What the process is to run. Sent first."""

    settings: Settings
    pipeline: str
    version: str
    spec: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The process's first words: it has the pipeline and drives its runs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Or these: the kept code cannot be run, and why."""

    reason: str


async def send(writer: asyncio.StreamWriter, message: Any) -> None:
    """Send one message whole."""
    data = pickle.dumps(message)
    writer.write(len(data).to_bytes(_SIZE_BYTES, "big") + data)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Any:
    """The next message, None once the other side is gone."""
    try:
        size_bytes = int.from_bytes(await reader.readexactly(_SIZE_BYTES), "big")
        return pickle.loads(await reader.readexactly(size_bytes))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class Asking:
    """The process's side: one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[Any] | None = None

    async def hear(self) -> None:
        """Take in answers until the daemon is gone. Who waits for one then waits on: this process is to stop."""
        while (answer := await receive(self._reader)) is not None:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)

    async def ask(self, question: Any) -> Any:
        """The answer; an exception that is one is raised."""
        async with self._turn:
            self._answer = asyncio.get_running_loop().create_future()
            await send(self._writer, question)
            answer = await self._answer
        if isinstance(answer, Exception):
            raise answer
        return answer
