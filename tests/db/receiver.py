"""A real HTTP server that stands for an API of somebody else: it keeps what it was sent, and answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

Answer = tuple[int, dict[str, str], bytes]
WAIT_S = 30.0


@dataclass(slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """`answers` are given in turn; after them, `201`. A `silent` one answers nothing until the other side hangs up, a
    slow one takes `pause_s` for each, and a `forgetful` one keeps no requests.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    answer_to: Callable[[Request], Answer] | None = None
    connections: int = 0
    silent: bool = False
    forgetful: bool = False
    pause_s: float = 0.0
    _grew: asyncio.Event = field(default_factory=asyncio.Event)

    async def got(self, count: int, where: Callable[[Request], bool] = lambda one: True) -> list[Request]:
        """Wait until there are `count` requests that are so."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [one for one in self.requests if where(one)]) < count:
                self._grew.clear()
                await self._grew.wait()
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                await asyncio.sleep(self.pause_s)
                if not self.forgetful:
                    self.requests.append(request)
                self._grew.set()
                if self.silent:
                    await reader.read()
                    return
                status, headers, body = self._answer(request)
                told = {**headers, "Content-Length": str(len(body))}
                lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode() + body)
                await writer.drain()
                if headers.get("Connection") == "close":
                    return
        finally:
            writer.close()

    def _answer(self, request: Request) -> Answer:
        if self.answer_to is not None:
            return self.answer_to(request)
        return self.answers.pop(0) if self.answers else (201, {}, b"{}")


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """One that listens until the end of the block."""
    one = Receiver()
    server = await asyncio.start_server(one.serve, "127.0.0.1", port)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
