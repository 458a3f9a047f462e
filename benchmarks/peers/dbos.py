"""DBOS: a run is a workflow of six steps, started in the process that runs it, which is DBOS's shortest way.

Its queues would look for work once a second. Workflows and steps are coroutines; 40 connections were
quickest (of 10, 20, 40, 70).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandleAsync

from benchmarks.peers.turns import STEPS, Board, Place, serve

CONNECTIONS = 40

the_board = Board()


@DBOS.step()
async def step() -> None:
    """Nothing."""


@DBOS.workflow()
async def six(run: str) -> None:
    the_board.first(run)
    for _ in range(STEPS):
        await step()


class Contender:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks

    async def submit(self, runs: Sequence[str]) -> None:
        await asyncio.gather(*map(self._submit, runs))

    async def settle(self) -> None:
        """A workflow that is done leaves nothing to do."""

    async def _submit(self, run: str) -> None:
        with SetWorkflowID(run):
            handle = await DBOS.start_workflow_async(six, run)
        self._tasks.create_task(_follow(run, handle))


async def _follow(run: str, handle: WorkflowHandleAsync[None]) -> None:
    await handle.get_result()
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
