"""Processes that claim at the same moment share what is ready, in its order: none goes away with nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack

import asyncpg

from service.db.connect import connect, sql
from service.db.daemons import Registration
from tests.db.writing import accept, writing

DAEMONS = 4
PLACES = 5


async def claim(connection: asyncpg.Connection, daemon: int) -> list[int]:
    return [row["id"] for row in await connection.fetch(sql("claim"), daemon, ["p"], ["v"], PLACES, [])]


async def test_who_claims_while_others_do_takes_what_comes_after_theirs(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(*(accept(str(n), "p") for n in range(DAEMONS * PLACES)))
    taken: list[list[int]] = []
    async with AsyncExitStack() as stack:
        connections = [await connect(database, by_index=True) for _ in range(DAEMONS - 1)]
        for connection in connections:
            stack.push_async_callback(connection.close)
        daemons = [await Registration(["executor"], 5.0)(connection) for connection in connections]
        for connection, daemon in zip(connections, daemons, strict=True):
            await stack.enter_async_context(connection.transaction())
            taken.append(await claim(connection, daemon))
    together = [one for ids in taken for one in ids]
    assert [len(ids) for ids in taken] == [PLACES] * (DAEMONS - 1)
    assert together == list(range(1, len(together) + 1))
