"""The connections that hold the rights of one process are closed however it ends."""

from __future__ import annotations

import asyncio

import asyncpg

from service.db.retention import let_go


async def test_a_connection_is_closed_also_when_its_process_is_stopped_while_it_gives_its_lock_back(
    database: str,
) -> None:
    connection = await asyncpg.connect(database)
    giving = asyncio.get_running_loop().create_task(let_go(connection))
    await asyncio.sleep(0)
    giving.cancel()
    await asyncio.wait([giving])
    assert giving.cancelled()
    assert connection.is_closed()
