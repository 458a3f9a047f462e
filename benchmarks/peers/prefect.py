"""Prefect: a run is a background task of six tasks, done by a task worker that its server tells over a websocket.

Runs of deployments would start a process each, after a worker has polled for them. Every task's result is persisted in
files, which Prefect does not fsync; that it ended is told to the server afterwards, in Postgres.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.ports import LOOPBACK, free_port
from benchmarks.peers.turns import STEPS, Board, Place, serve

SERVED_AT_ONCE = 50


class Contender:
    def __init__(self, delay: Callable[[str], object]) -> None:
        self._delay = delay

    async def submit(self, runs: Sequence[str]) -> None:
        await asyncio.gather(*(asyncio.to_thread(self._delay, run) for run in runs))

    async def settle(self) -> None:
        """What is left to tell the server is told in the background, and does not count."""


def settings(place: Place, port: int) -> dict[str, str]:
    """Prefect's settings, for its server and its client."""
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_DATABASE_CONNECTION_URL": place.dsn.replace("postgresql:", "postgresql+asyncpg:"),
        "PREFECT_API_URL": f"http://{LOOPBACK}:{port}/api",
        "PREFECT_HOME": place.folder,
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


@asynccontextmanager
async def server(port: int) -> AsyncIterator[None]:
    """Start the server, and return when it answers."""
    program = Path(sys.prefix, "bin", "prefect")
    options = ["--host", LOOPBACK, "--port", str(port), "--no-ui", "--analytics-off", "--log-level", "ERROR"]
    process = await asyncio.create_subprocess_exec(str(program), "server", "start", *options)
    try:
        import httpx

        async with httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"http://{LOOPBACK}:{port}/api/health")).is_success:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.2)
        yield
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    port = free_port()
    os.environ.update(settings(place, port))
    async with server(port), asyncio.TaskGroup() as tasks:
        # Prefect reads its settings when it is imported.
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.task_worker import aserve

        @task(cache_policy=NO_CACHE)
        async def step() -> None:
            """Nothing."""

        @task(cache_policy=NO_CACHE)
        async def six(run: str) -> None:
            board.first(run)
            for _ in range(STEPS):
                await step()
            board.done(run)

        worker = tasks.create_task(aserve(six, limit=SERVED_AT_ONCE))
        yield Contender(six.delay)
        worker.cancel()


if __name__ == "__main__":
    serve(contender)
