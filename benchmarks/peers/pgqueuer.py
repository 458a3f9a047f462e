"""PgQueuer: a run is one job that writes six checkpoints into a table of its own, each committed before the next step.

PgQueuer has no steps: this is what its user writes by hand. The pool is asyncpg's, on uvloop. It was quickest
with 40 connections (of 20, 40, 80).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from benchmarks.peers.turns import STEPS, Board, Place, serve

BATCH_SIZE = 100
CONNECTIONS = 40


class Contender:
    def __init__(self, pool: asyncpg.Pool, queue: PgQueuer) -> None:
        self._pool = pool
        self._queue = queue

    async def submit(self, runs: Sequence[str]) -> None:
        payloads: list[bytes | None] = [run.encode() for run in runs]
        count = len(runs)
        await self._queue.qm.queries.enqueue(["six"] * count, payloads, [0] * count)

    async def settle(self) -> None:
        while await self._pool.fetchval("select exists (select from pgqueuer)"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    async with asyncpg.create_pool(place.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        queue = PgQueuer.from_asyncpg_pool(pool)
        await queue.qm.queries.install()
        await pool.execute("create table checkpoints (run text, step integer, result bytea, primary key (run, step))")

        @queue.entrypoint("six")
        async def six(job: Job) -> None:
            run = (job.payload or b"").decode()
            board.first(run)
            for step in range(STEPS):
                await pool.execute("insert into checkpoints values ($1, $2, $3)", run, step, b"null")
            board.done(run)

        async with asyncio.TaskGroup() as tasks:
            batch_size = min(BATCH_SIZE, place.in_flight // 2)
            tasks.create_task(queue.run(batch_size=batch_size, max_concurrent_tasks=place.in_flight))
            yield Contender(pool, queue)
            queue.shutdown.set()


if __name__ == "__main__":
    serve(contender, uvloop.run)
