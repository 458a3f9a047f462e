"""What every contender is asked, in a process of its own, and how it answers: JSON lines on stdin and stdout.

Six steps that do nothing make a run. Their results are durable one by one. A contender tells when the first step of a
run begins, and when the run is over as far as itself is concerned.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence, Sized
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

STEPS = 6
BATCH = 50
# Long enough for what a contender puts off until it is idle, and far below what it does when it has been idle for long.
PAUSE_S = 0.15


class Board:
    """Where the beginnings and the ends of runs are put down. Of one event loop."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._changed = asyncio.Event()

    def first(self, run: str) -> None:
        """The first step of this run has been called."""
        self.began.setdefault(run, time.perf_counter())

    def done(self, run: str) -> None:
        """The last step's result of this run is durable."""
        self.ended.setdefault(run, time.perf_counter())
        self._changed.set()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until `enough`, which is asked whenever a run is done."""
        while not enough():
            self._changed.clear()
            await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Place:
    """What a contender gets: a database of its own, a folder of its own, and how many runs will be in flight."""

    dsn: str
    folder: str
    in_flight: int


class Contender(Protocol):
    """Takes runs in, and does them in this process."""

    async def submit(self, runs: Sequence[str]) -> None:
        """Take these in. They are durable when it returns. It may be called again meanwhile."""

    async def settle(self) -> None:
        """Return when nothing is left to do for runs that are done."""


Open = Callable[[Place, Board], AbstractAsyncContextManager[Contender]]


@dataclass(slots=True)
class _Turns:
    contender: Contender
    board: Board
    in_flight: int
    count: int = 0
    runs: list[str] = field(default_factory=list)

    async def answer(self, question: str) -> object:
        """Do `runs N` or `latency N`; returns seconds, or the two latencies of each in seconds."""
        kind, number = question.split()
        return await (self._throughput if kind == "runs" else self._latency)(int(number))

    async def _throughput(self, runs: int) -> float:
        """One batch after the other, none of which waits for an earlier one to be taken in: that is in flight, too."""
        board = self.board
        board.began.clear()
        board.ended.clear()
        most = min(BATCH, self.in_flight)
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, runs, most):
                batch = self._names(min(most, runs - start))
                needed = start + len(batch) - self.in_flight
                await board.until(partial(_has, board.ended, needed))
                tasks.create_task(self.contender.submit(batch))
        await board.until(partial(_has, board.ended, runs))
        await self.contender.settle()
        return time.perf_counter() - begun

    async def _latency(self, times: int) -> list[tuple[float, float]]:
        board, found = self.board, []
        for _ in range(times):
            await asyncio.sleep(PAUSE_S)
            [run] = self._names(1)
            begun = time.perf_counter()
            await self.contender.submit([run])
            await board.until(partial(board.ended.__contains__, run))
            found.append((board.began[run] - begun, board.ended[run] - begun))
        return found

    def _names(self, count: int) -> list[str]:
        self.count += count
        return [str(number) for number in range(self.count - count, self.count)]


def _has(ended: Sized, count: int) -> bool:
    return len(ended) >= count


async def _serve(open_contender: Open) -> None:
    # What a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    dsn, folder, in_flight = sys.argv[1:]
    board = Board()
    async with open_contender(Place(dsn, folder, int(in_flight)), board) as contender:
        turns = _Turns(contender, board, int(in_flight))
        print(json.dumps("ready"), file=answers, flush=True)
        while question := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await turns.answer(question)), file=answers, flush=True)


def serve(open_contender: Open, run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run) -> None:
    """Answer until stdin ends."""
    run(_serve(open_contender))
