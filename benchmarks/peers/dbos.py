"""DBOS: a run is a workflow of six steps, started in the process that runs it, which is DBOS's shortest way.

Its queues would look for work once a second. Many at once are plain functions in DBOS's threads, and one alone is a
coroutine: by plain functions it did more runs a second (a tenth to a quarter), by a coroutine a single run was over
sooner. 20 connections were quickest (of 10, 20, 40).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.peers.turns import STEPS, Board, Place, serve

CONNECTIONS = 20

the_board = Board()


@DBOS.step()
def step() -> None:
    """Nothing."""


@DBOS.workflow()
def six(run: str) -> None:
    the_board.first(run)
    for _ in range(STEPS):
        step()


@DBOS.step()
async def step_alone() -> None:
    """Nothing."""


@DBOS.workflow()
async def six_alone(run: str) -> None:
    the_board.first(run)
    for _ in range(STEPS):
        await step_alone()


class Contender:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks

    async def submit(self, runs: Sequence[str]) -> None:
        if len(runs) == 1:
            with SetWorkflowID(runs[0]):
                handle = await DBOS.start_workflow_async(six_alone, runs[0])
            self._tasks.create_task(_follow(runs[0], handle.get_result()))
        else:
            for run, ended in (await asyncio.to_thread(start, runs)).items():
                self._tasks.create_task(_follow(run, asyncio.wrap_future(ended)))

    async def settle(self) -> None:
        """A workflow that is done leaves nothing to do."""


def start(runs: Sequence[str]) -> dict[str, Future[None]]:
    """Start these, and return what ends with each. (`get_result` would hold a thread for each.)"""
    ends = {}
    for run in runs:
        with SetWorkflowID(run):
            ends[run] = DBOS.start_workflow(six, run).future
    return ends


async def _follow(run: str, ended: Awaitable[None]) -> None:
    await ended
    the_board.done(run)


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    global the_board
    the_board = board
    config: DBOSConfig = {
        "name": "six",
        "system_database_url": place.dsn.replace("postgresql:", "postgresql+psycopg:"),
        "sys_db_pool_size": CONNECTIONS,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        async with asyncio.TaskGroup() as tasks:
            yield Contender(tasks)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    serve(contender)
