"""Processes that claim at the same moment share what is ready, in its order: none goes away with nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack

import asyncpg

from service.db.connect import connect, sql
from service.db.daemons import Registration
from tests.db.writing import accept, writing
from triggers.event import event_key

DAEMONS = 4
PLACES = 5


async def claim(connection: asyncpg.Connection, daemon: int) -> list[int]:
    return [row["id"] for row in await connection.fetch(sql("claim"), daemon, ["p"], ["v"], PLACES, [], 0.0)]


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


async def test_only_what_has_begun_and_has_no_limits_is_taken_ahead_of_its_time(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("new", "p"), accept("begun", "p"), accept("limited", "q"))
    connection = await connect(database, by_index=True)
    try:
        me = await Registration(["executor"], 5.0)(connection)
        await connection.execute(
            "update runs set ready_at = now() + interval '1 minute', epoch = (event_key <> $1)::int",
            event_key("tests", "new"),
        )
        [begun] = await connection.fetch("select id from runs where event_key = $1", event_key("tests", "begun"))

        async def taken(ahead_s: float) -> list[int]:
            arguments = (me, ["p", "q"], ["v", "v"], PLACES, ["q"], ahead_s)
            return [row["id"] for row in await connection.fetch(sql("claim"), *arguments)]

        async def next_s(ahead_s: float) -> float:
            look = await connection.fetchrow(sql("next_ready"), ["p", "q"], ["q"], ahead_s)
            assert (look["ready"], look["limited"]) == (False, False)
            found: float = look["next_s"]
            return found

        assert 59 < await next_s(0.0) <= 60
        assert 29 < await next_s(30.0) <= 30
        assert await taken(30.0) == []
        assert await taken(90.0) == [begun["id"]]
        assert 59 < await next_s(90.0) <= 60
    finally:
        await connection.close()
