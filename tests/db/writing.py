"""A running writer on a fresh database, for tests of single operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from service.db.accept import Accept
from service.db.daemons import Registration
from service.db.offered import EventRow, FateRow, RunRow
from service.db.writer import Writer
from triggers.base import Fate, Position
from triggers.event import event_key, utc_now


@asynccontextmanager
async def writing(dsn: str, *, lease_s: float = 5.0) -> AsyncIterator[Writer]:
    """A writer whose loop runs."""
    writer = Writer(dsn, register=Registration(["executor"], lease_s), lease_s=lease_s)
    await writer.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        yield writer
        running.cancel()


def event_row(event_id: str, source: str = "tests") -> EventRow:
    """An event with nothing in it."""
    envelope = b'{"specversion":"1.0","source":"tests","id":"x","type":"t","time":"2026-01-01T00:00:00Z"}'
    return EventRow(event_key(source, event_id), source, event_id, "t", None, utc_now(), envelope)


def accept(event_id: str, *pipelines: str, take: bool = False, position: Position | None = None) -> Accept:
    """Accept one event that starts a run in each of `pipelines`."""
    row = event_row(event_id)
    runs = [RunRow(row.key, pipeline, "v1", "trigger", b"{}", 0, take) for pipeline in pipelines]
    return Accept([row], runs, [], [] if position is None else [position])


def refuse(event_id: str, pipeline: str, fate: Fate = Fate.IGNORED, reason: str = "filter") -> Accept:
    """Accept one event that starts nothing."""
    row = event_row(event_id)
    return Accept([row], [], [FateRow(row.key, pipeline, "trigger", fate, reason)])


@asynccontextmanager
async def asking(dsn: str) -> AsyncIterator[Callable[..., Awaitable[list[asyncpg.Record]]]]:
    """What queries find, over one connection: a new one for each is dear to a machine that has work to do."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection.fetch
    finally:
        await connection.close()


async def rows(dsn: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """What a query finds, over a connection of its own."""
    async with asking(dsn) as ask:
        return await ask(query, *arguments)


async def until(dsn: str, within_s: float, query: str, *arguments: Any) -> None:
    """Wait until a query answers true."""
    async with asyncio.timeout(within_s), asking(dsn) as ask:
        while not (await ask(query, *arguments))[0][0]:
            await asyncio.sleep(0.05)


async def members(dsn: str) -> Mapping[int, Sequence[str]]:
    """The ids of the events of every run, in order; their places have no gap."""
    found: dict[int, list[str]] = {}
    query = """
        select r.id as run, e.id, 0 as place from runs r join events e on e.key = r.event_key
        union all
        select f.run_id, e.id, f.place from fates f join events e on e.key = f.event_key where f.fate = 'coalesced'
        order by 1, 3
    """
    for row in await rows(dsn, query):
        found.setdefault(row["run"], []).append(row["id"])
        assert row["place"] == len(found[row["run"]]) - 1
    return found
