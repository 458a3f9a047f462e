"""Streams under way: each is cut within seconds of its listener being let in no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.access import Access
from service.api.problems import Problem
from service.api.requests import header
from service.errors import ServiceError

MEDIA_TYPE = "text/event-stream"
# A token may be over by its time, of which nobody tells.
LOOK_S = 2.0


class Shown(NamedTuple):
    """By what somebody was let in."""

    bearer: str | None
    cookie: str | None


class Watched:
    """`run` it in a task. What many listeners show alike is looked at once for all of them, and costs no query."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._streams: dict[Shown, dict[asyncio.Timeout, Scope]] = {}
        self._heard = asyncio.Event()
        self._wanted = asyncio.Event()

    def hear(self) -> None:
        """Tokens were made or revoked."""
        self._heard.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._heard.wait()
            except TimeoutError:
                pass
            self._heard.clear()
            for shown in list(self._streams):
                await self._look(shown)

    async def _look(self, shown: Shown) -> None:
        streams = self._streams.get(shown)
        if not streams:
            return
        try:
            await self._access.check(dict(next(iter(streams.values()))))
        except Problem:
            now = asyncio.get_running_loop().time()
            for until in list(streams):
                until.reschedule(now)
        except ServiceError:
            # Whoever could tell is away: nobody can be found out to have left meanwhile.
            return

    @contextmanager
    def watching(self, scope: Scope, until: asyncio.Timeout) -> Iterator[None]:
        """Let `until` run out when who asks is let in no more."""
        shown = Shown(header(scope, b"authorization"), header(scope, b"cookie"))
        self._streams.setdefault(shown, {})[until] = scope
        self._wanted.set()
        try:
            yield
        finally:
            del self._streams[shown][until]
            if not self._streams[shown]:
                del self._streams[shown]
            if not self._streams:
                self._wanted.clear()


class Stream(StreamingResponse):
    """Server-sent events, for as long as who listens may."""

    def __init__(self, frames: AsyncIterator[bytes], watched: Watched) -> None:
        super().__init__(frames, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
        self._watched = watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ends as any stream does: who comes again is told why not."""
        try:
            async with asyncio.timeout(None) as until:
                with self._watched.watching(scope, until):
                    await super().__call__(scope, receive, send)
        except TimeoutError:
            if not until.expired():
                raise
            await send({"type": "http.response.body", "body": b""})
