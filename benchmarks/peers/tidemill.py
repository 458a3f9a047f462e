"""Tidemill: a run is a pipeline of six stages, in a daemon in this process that only takes in and executes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.daemons import start_daemon
from benchmarks.measuring import LOOK_S
from benchmarks.peers.turns import Board, Place, serve
from service.app import Daemon
from service.settings import Artifacts, Database, Executor, Role, Settings
from stages import Event, Pipeline, stage
from triggers.base import Arrival, Offer
from triggers.event import utc_now


def pipeline(board: Board) -> Pipeline:
    """Six stages that do nothing, the first of which tells that it was called."""

    @stage(reuse="run")
    async def one(event: Event) -> None:
        board.first(event.id)

    @stage(reuse="run")
    async def two(one: None) -> None:
        """Nothing."""

    @stage(reuse="run")
    async def three(two: None) -> None:
        """Nothing."""

    @stage(reuse="run")
    async def four(three: None) -> None:
        """Nothing."""

    @stage(reuse="run")
    async def five(four: None) -> None:
        """Nothing."""

    @stage(reuse="run")
    async def six(five: None) -> None:
        """Nothing."""

    return Pipeline("six", stages=[one, two, three, four, five, six])


class Contender:
    """Hands events to the inbox, as every trigger does. A run is over when the executor has seen its end recorded."""

    def __init__(self, daemon: Daemon, board: Board) -> None:
        if daemon.executor is None:
            raise RuntimeError("this daemon drives no runs")
        self._inbox, self._executor = daemon.inbox, daemon.executor
        self._board = board
        self._taken_in: deque[str] = deque()
        self._told = 0

    async def submit(self, runs: Sequence[str]) -> None:
        """See `turns.Contender`."""
        events = [Event(source="peers", id=run, type="peers", time=utc_now()) for run in runs]
        await self._inbox.accept([Arrival(event, [Offer("six", "peers")]) for event in events])
        self._taken_in += runs

    async def settle(self) -> None:
        """See `turns.Contender`."""

    async def watch(self) -> None:
        """Tell of runs that are over, to the millisecond."""
        while True:
            await asyncio.sleep(LOOK_S)
            while self._taken_in and self._told < self._executor.ended:
                self._told += 1
                self._board.done(self._taken_in.popleft())


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    """See `turns.Open`."""
    async with asyncio.TaskGroup() as tasks:
        settings = Settings(
            root=Path(place.folder),
            home=Path(place.folder, "home"),
            roles=(Role.EXECUTOR,),
            database=Database(url=place.dsn),
            executor=Executor(max_runs=place.in_flight),
            artifacts=Artifacts(url=Path(place.folder, "artifacts").as_uri()),
        )
        daemon = await start_daemon(settings, [pipeline(board)], tasks)
        here = Contender(daemon, board)
        watching = tasks.create_task(here.watch())
        yield here
        watching.cancel()
        daemon.stop()


if __name__ == "__main__":
    serve(contender, uvloop.run)
