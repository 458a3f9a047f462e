"""Clients that listen to the run log, in a process of their own: `python -m benchmarks.sse_clients PORT CLIENTS`.

It says that all of them listen; at the next line of its input it says, as JSON, how long after an entry was written the
clients had it. Clients get the same bytes: a chunk is read once for all.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from benchmarks.measuring import percentiles

ROOT = Path(__file__).parents[1]
REQUEST = b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
_AT = re.compile(rb'"at":"([^"]+)"')


@asynccontextmanager
async def listening(port: int, clients: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """So many clients; they hang up at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sse_clients", str(port), str(clients)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _line(process)
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def heard(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What they heard until now."""
    if process.stdin is not None:
        process.stdin.write(b"\n")
    told: dict[str, Any] = orjson.loads(await _line(process))
    return told


async def _line(process: asyncio.subprocess.Process) -> bytes:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise RuntimeError("the clients ended")
    return line


class _Client(asyncio.Protocol):
    """One listener: notes how old each entry is when it comes."""

    def __init__(self, late_s: list[float]) -> None:
        self._late_s = late_s
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        cast(asyncio.WriteTransport, transport).write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """The head, then entries."""
        now = time.time()
        if not self.open.done():
            self.open.set_result(None)
        self._late_s.extend(now - at for at in _written(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """A listener that is cut off is no listener."""
        raise SystemExit(f"a client was cut off: {exc}")


@lru_cache(maxsize=64)
def _written(data: bytes) -> list[float]:
    return [datetime.fromisoformat(at.decode()).timestamp() for at in _AT.findall(data)]


async def _listen(port: int, clients: int) -> None:
    loop, late_s = asyncio.get_running_loop(), list[float]()
    for _ in range(clients):
        _, client = await loop.create_connection(lambda: _Client(late_s), "127.0.0.1", port)
        await client.open
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.buffer.readline):
        print(orjson.dumps(percentiles("", late_s)).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_listen(int(sys.argv[1]), int(sys.argv[2])))
