"""The person who is asked: approves what waits, and resumes what lost its daemon too often."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

import asyncpg
import httpx

from tests.fault.storm import BY_DEATHS

WAITING = "select run_id, gate from gates where state = 'waiting' order by run_id limit 50"
POISONED = "select id from runs where state = 'failed' and failure::text like any ($1::text[]) limit 50"
_PAUSE_S = 0.5
# What asyncpg says of a connection that is cut in the middle of an answer is an error of its own.
_CUT = asyncpg.exceptions.InternalClientError
_OUTAGES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, _CUT, TimeoutError)


class Person:
    """Looks, decides, and looks again."""

    def __init__(self, dsn: str, urls: Sequence[str]) -> None:
        self.approved = 0
        self.resumed = 0
        self._dsn = dsn
        self._urls = itertools.cycle(urls)
        self._over = False

    async def work(self) -> None:
        """Until `end`."""
        async with httpx.AsyncClient(timeout=5.0) as http:
            while not self._over:
                with contextlib.suppress(*_OUTAGES):
                    await self._look(http)
                await asyncio.sleep(_PAUSE_S)

    def end(self) -> None:
        """Go home."""
        self._over = True

    async def _look(self, http: httpx.AsyncClient) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5)
        try:
            waiting = await connection.fetch(WAITING)
            poisoned = await connection.fetch(POISONED, BY_DEATHS)
        finally:
            await connection.close()
        for row in waiting:
            self.approved += await self._post(http, f"/api/v1/runs/{row['run_id']}/gates/{row['gate']}/approve")
        for row in poisoned:
            self.resumed += await self._post(http, f"/api/v1/runs/{row['id']}/resume")

    async def _post(self, http: httpx.AsyncClient, path: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return (await http.post(f"{next(self._urls)}{path}", json={"by": "kim"})).is_success
        return False
