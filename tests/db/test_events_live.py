"""An event that starts no run is in no log: whoever looks is told all the same, and no executor looks for work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.db.connect import connect
from service.db.writer import CHANGED, WAKE_CHANNEL, Writer
from tests.db.api import STRUCTURED, Api, api, cloudevent
from tests.db.test_stream import STREAM, stream_of, until
from tests.db.writing import accept, refuse, writing


def nothing_is_usual(writer: Writer, units: Any) -> None:
    """Each kind is written by its own statements."""


@pytest.fixture(params=[True, False])
def usual(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether flushes of what is usual are one statement."""
    if not request.param:
        monkeypatch.setattr(Writer, "_usual", nothing_is_usual)
    return bool(request.param)


@asynccontextmanager
async def heard(database: str) -> AsyncIterator[list[str]]:
    """What wakes the processes of an installation, as they hear it."""
    found: list[str] = []
    connection = await connect(database)
    await connection.add_listener(WAKE_CHANNEL, lambda *told: found.append(told[-1]))
    yield found
    await connection.close()


async def told(found: list[str], database: str) -> list[str]:
    """All of it up to now."""
    connection = await connect(database)
    await connection.execute("select pg_notify($1, 'last')", WAKE_CHANNEL)
    await connection.close()
    async with asyncio.timeout(20):
        while "last" not in found:
            await asyncio.sleep(0.01)
    taken = found[:-1]
    found.clear()
    return taken


async def test_a_flush_tells_once_of_all_its_events_that_start_nothing(database: str, usual: bool) -> None:
    async with writing(database) as writer, heard(database) as found:
        await writer.submit(accept("first", "a"))
        await told(found, database)
        await asyncio.gather(writer.submit(accept("1", "a", "b")), writer.submit(accept("2", "a")))
        assert await told(found, database) == [""]
        await asyncio.gather(*(writer.submit(refuse(one, "a")) for one in ("3", "4", "5")), writer.submit(accept("6")))
        assert await told(found, database) == [CHANGED]
        await asyncio.gather(writer.submit(accept("7", "a", "b")), writer.submit(accept("8")))
        assert sorted(await told(found, database)) == ["", CHANGED]
        await writer.submit(accept("8"))
        assert await told(found, database) == []


async def send(one: Api, event_id: str) -> None:
    answer = await one.http.post("/api/v1/events", json=cloudevent(event_id, "nothing"), headers=STRUCTURED)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("query", ["", "?pipeline=gated"])
async def test_a_page_hears_of_an_event_that_came_to_nothing(
    database: str, tmp_path: Path, usual: bool, query: str
) -> None:
    async with api(database, tmp_path) as one:
        await one.start("sums")
        async with one.http.stream("GET", STREAM + query) as answer, asyncio.timeout(20):
            lines = answer.aiter_lines()
            await until(lines, ": nothing new")
            await send(one, "unwanted")
            await until(lines, "event: changed")
            assert "unwanted" in (await one.http.get("/events")).text


async def test_no_executor_looks_for_work_because_of_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await one.start("sums")
        changes, wakes = asyncio.Event(), []
        one.daemon.hear_changes.append(changes.set)
        one.daemon.executor.wake = lambda: wakes.append(1)  # type: ignore[union-attr, method-assign]
        await send(one, "unwanted")
        async with asyncio.timeout(20):
            await changes.wait()
        assert wakes == []


async def test_changes_that_come_fast_are_told_together_and_none_is_lost(database: str) -> None:
    async with stream_of(database, held=10) as stream:
        listener = stream.follow()
        await anext(listener)
        for _ in range(2):
            for _ in range(100):
                stream.change()
            async with asyncio.timeout(20):
                assert (await anext(listener)).changed
        await listener.aclose()


async def test_a_change_while_a_listener_still_begins_is_told(database: str) -> None:
    async with stream_of(database, held=10) as stream, asyncio.timeout(20):
        listener = stream.follow()
        first = asyncio.ensure_future(anext(listener))
        while not stream.listeners:
            await asyncio.sleep(0)
        stream.change()
        assert (await first).changed
        await listener.aclose()
