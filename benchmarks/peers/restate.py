"""Restate: a run is an invocation of a handler with six `ctx.run` steps. Its server comes as a package of npm.

The server keeps its log in RocksDB of its own, with fsync, and not in Postgres. The handler is served as Restate's
documentation shows, by Hypercorn over HTTP/2, here on uvloop; invocations are sent with aiohttp, one request each.
Watched by strace, the server made nine fdatasync calls for a run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import restate
import uvloop
from hypercorn.asyncio import serve as serve_asgi
from hypercorn.config import Config

from benchmarks.peers.ports import LOOPBACK, free_port
from benchmarks.peers.turns import STEPS, Board, Place, serve

SERVER = Path(sys.prefix, "server/node_modules/@restatedev/restate-server-linux-x64/bin/restate-server")


async def step() -> None:
    """Nothing."""


def endpoint(board: Board) -> object:
    """The application that does runs."""
    service = restate.Service("six")

    @service.handler("run")
    async def run(ctx: restate.Context, name: str) -> None:
        board.first(name)
        for number in range(STEPS):
            await ctx.run_typed(f"step {number}", step)
        board.done(name)

    return restate.app([service])


class Contender:
    def __init__(self, session: aiohttp.ClientSession, ingress: str) -> None:
        self._session = session
        self._url = f"{ingress}/six/run/send"

    async def submit(self, runs: Sequence[str]) -> None:
        await asyncio.gather(*map(self._submit, runs))

    async def settle(self) -> None:
        """A run that is done leaves nothing to do."""

    async def _submit(self, run: str) -> None:
        async with self._session.post(self._url, json=run) as response:
            response.raise_for_status()
            await response.read()


async def until_it_answers(session: aiohttp.ClientSession, url: str) -> None:
    """Wait for a server to come up."""
    while True:
        try:
            async with session.get(url) as response:
                if response.ok:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.05)


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Start the server; yields the addresses of its admin API and of its ingress."""
    node, admin, ingress = free_port(), free_port(), free_port()
    settings = {
        "RESTATE_ADMIN__BIND_ADDRESS": f"{LOOPBACK}:{admin}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"{LOOPBACK}:{ingress}",
        "RESTATE_BIND_ADDRESS": f"{LOOPBACK}:{node}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "error",
    }
    command = [str(SERVER), "--base-dir", str(folder), "--node-name", "one", "--no-logo"]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **settings}, cwd=folder)
    try:
        yield f"http://{LOOPBACK}:{admin}", f"http://{LOOPBACK}:{ingress}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def contender(place: Place, board: Board) -> AsyncIterator[Contender]:
    config, port, stop = Config(), free_port(), asyncio.Event()
    config.bind = [f"{LOOPBACK}:{port}"]
    config.h2_max_concurrent_streams = 2**31 - 1
    config.keep_alive_max_requests = 2**31 - 1
    connector = aiohttp.TCPConnector(limit=100)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as tasks,
        server(Path(place.folder)) as (admin, ingress),
    ):
        tasks.create_task(serve_asgi(endpoint(board), config, shutdown_trigger=stop.wait))
        await until_it_answers(session, f"{admin}/health")
        uri = {"uri": f"http://{LOOPBACK}:{port}"}
        async with session.post(f"{admin}/deployments", json=uri) as response:
            if not response.ok:
                raise RuntimeError(await response.text())
        yield Contender(session, ingress)
        stop.set()


if __name__ == "__main__":
    serve(contender, uvloop.run)
