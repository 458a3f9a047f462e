"""Procrastinate: a run is one job that writes six checkpoints into a table of its own, each committed before the next.

Procrastinate has no steps: this is what its user writes by hand. Its jobs are coroutines, its loop is
uvloop; it was quickest with 20 of them at once (of 10, 20, 30, 50, 200).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvloop
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.turns import STEPS, Board, Place, serve

CONNECTIONS = 20
AT_ONCE = 20
STEP = "insert into checkpoints values (%s, %s, %s)"
CHECKPOINTS = "create table checkpoints (run text, step integer, result bytea, primary key (run, step))"
LEFT = "select count(*) as jobs from procrastinate_jobs where status <> 'succeeded'"


class Contender:
    def __init__(self, app: App) -> None:
        self._app = app

    async def submit(self, runs: Sequence[str]) -> None:
        await self._app.configure_task("six").batch_defer_async(*({"run": run} for run in runs))

    async def settle(self) -> None:
        while (await self._app.connector.execute_query_one_async(LEFT))["jobs"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    sizes = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
    pool = AsyncConnectionPool(place.dsn, open=False, kwargs={"autocommit": True}, **sizes)
    connector = PsycopgConnector(conninfo=place.dsn, **sizes)
    app = App(connector=connector)

    @app.task(name="six")
    async def six(run: str) -> None:
        board.first(run)
        for step in range(STEPS):
            async with pool.connection() as connection:
                await connection.execute(STEP, (run, step, b"null"))
        board.done(run)

    async with pool, app.open_async():
        await app.schema_manager.apply_schema_async()
        await connector.execute_query_async(CHECKPOINTS)
        async with asyncio.TaskGroup() as tasks:
            work = app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=False)
            worker = tasks.create_task(work)
            yield Contender(app)
            worker.cancel()


if __name__ == "__main__":
    serve(contender, uvloop.run)
