"""A client that posts as fast as it is answered, in a process of its own: `python -m benchmarks.http_load`.

It reads lines of JSON: the port, over how many connections, and the requests, which it says it has; then anything, upon
which it sends them, and tells how many were answered with which status. On each connection one request is under way.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
import uvloop

ROOT = Path(__file__).parents[1]
ACCEPTED = {"202"}


@dataclass(frozen=True, slots=True)
class Load:
    """The client, as the benchmark sees it."""

    process: asyncio.subprocess.Process

    async def prepare(self, port: int, connections: int, requests: Sequence[bytes]) -> None:
        """Have it ready to send."""
        asked = {"port": port, "connections": connections, "requests": [one.decode() for one in requests]}
        await self._ask(orjson.dumps(asked))

    async def send(self) -> None:
        """Send all, and wait until all are answered. Raises `RuntimeError` where one was not accepted."""
        statuses = orjson.loads(await self._ask(b""))
        if statuses.keys() != ACCEPTED:
            raise RuntimeError(f"answered with these statuses: {statuses}")

    async def _ask(self, line: bytes) -> bytes:
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the client has no pipes")
        self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()
        return await self.process.stdout.readline()


@asynccontextmanager
async def load_client() -> AsyncIterator[Load]:
    """Start a client; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.http_load"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Load(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class _Connection(asyncio.Protocol):
    """Sends what is left of the requests, one after the other, and counts the answers."""

    def __init__(self, requests: Iterator[bytes], statuses: Counter[str]) -> None:
        self._requests = requests
        self._statuses = statuses
        self._answer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of it: its head says how long its body is."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._statuses[head[9:12].decode()] += 1
            self._answer = b""
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up, or all is done."""
        if not self.over.done():
            self._statuses["hung up"] += 1
            self.over.set_result(None)

    def _send(self) -> None:
        request = next(self._requests, None)
        if self._transport is None:
            return
        if request is not None:
            self._transport.write(request)
        else:
            self.over.set_result(None)
            self._transport.close()


async def _post(port: int, connections: int, requests: Sequence[bytes]) -> Counter[str]:
    left, statuses = iter(requests), Counter[str]()
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: _Connection(left, statuses), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.over for one in made))
    return statuses


def main() -> None:
    """Answer lines of stdin until it ends."""
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        requests = [one.encode() for one in asked["requests"]]
        print("ready", flush=True)
        sys.stdin.buffer.readline()
        statuses = uvloop.run(_post(asked["port"], asked["connections"], requests))
        print(orjson.dumps(statuses).decode(), flush=True)


if __name__ == "__main__":
    main()
