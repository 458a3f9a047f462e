"""The writer in an outage: what was given up is not written behind the caller's back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from service.db.migrations import migrate
from service.db.writer import Writer
from service.embedded.postgres import EmbeddedPostgres
from service.errors import DatabaseUnavailable
from tests.db.writing import accept, rows, writing


async def test_an_event_given_up_on_in_an_outage_is_not_accepted_afterwards(home: Path) -> None:
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    await migrate(dsn)
    async with writing(dsn) as writer:
        await writer.submit(accept("before", "a"))
        await server.stop()
        given_up = asyncio.wait_for(writer.submit(accept("given up", "a")), timeout=0.3)
        with pytest.raises(TimeoutError):
            await given_up
        server = EmbeddedPostgres(home)
        await server.start()
        await writer.submit(accept("after", "a"))
        assert [row["id"] for row in await rows(dsn, "select id from events order by seq")] == ["before", "after"]
    await server.stop()


async def test_a_connection_that_is_cut_as_a_process_registers_is_told_in_words(database: str) -> None:
    async def cut(connection: asyncpg.Connection) -> int:
        await rows(database, "select pg_terminate_backend($1)", connection.get_server_pid())
        number: int = await connection.fetchval("select 1")
        return number

    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        await Writer(database, register=cut, lease_s=1.0).open()
