"""A browser has the head of a page before its content is read, where nothing but an outage can come between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.db.api import Api, api
from tests.db.console import HTML, assert_page, look, text_of
from tests.db.writing import rows

GOES_THERE = {**HTML, "Sec-Fetch-Dest": "document"}
CANCEL = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"


@asynccontextmanager
async def locked(database: str) -> AsyncIterator[None]:
    """Nothing reads runs meanwhile."""
    holder = await asyncpg.connect(database)
    try:
        async with holder.transaction():
            await holder.execute("lock table runs in access exclusive mode")
            yield
    finally:
        await holder.close()


@asynccontextmanager
async def begun(one: Api, path: str) -> AsyncIterator[httpx.Response]:
    """A page of which the head is there."""
    async with asyncio.timeout(10), one.http.stream("GET", path, headers=GOES_THERE) as answer:
        assert answer.status_code == 200
        yield answer


@pytest.mark.parametrize("path", ["/", "/runs", "/pipelines/sums"])
async def test_the_head_of_a_page_does_not_wait_for_its_content(database: str, tmp_path: Path, path: str) -> None:
    async with api(database, tmp_path) as one:
        await one.start("sums")
        async with locked(database), begun(one, path) as answer:
            assert "set-cookie" in answer.headers
        async with begun(one, path) as answer:
            await answer.aread()
        assert_page(answer)


async def test_what_is_not_there_has_its_status(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        for path, status in ((f"/runs/{run}", 200), ("/runs/99", 404), ("/runs/x", 404), ("/pipelines/none", 404)):
            assert (await one.http.get(path, headers=GOES_THERE)).status_code == status
        await look(one, "/runs?since=never", 422, **GOES_THERE)


async def test_an_outage_after_the_head_is_told_by_the_page(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        async with locked(database), begun(one, "/runs") as answer, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(answer.aread())
            while not reading.done():
                await rows(database, CANCEL)
                await asyncio.wait([reading], timeout=0.05)
        assert_page(answer)
        assert "Service Unavailable" in text_of(answer.text)
