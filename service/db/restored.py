"""Makes a database that was restored from a dump, on a server other than the one it was taken from, fit to go on."""

from __future__ import annotations

import asyncpg

from service.db.connect import connect, sql
from service.db.migrations import LONGEST_S
from triggers import faults


async def settle(dsn: str) -> bool:
    """Whether there was anything to do. Safe to repeat, and for many at once.

    Sinks read the run log in the order of Postgres' transactions (docs/decisions/0005), and a dump brings the numbers
    of another server. Where this one's are lower, no sink would come upon anything new for as long as they are.
    """
    connection = await connect(dsn)
    try:
        if not await connection.fetchval(sql("from_elsewhere"), timeout=LONGEST_S):
            return False
        return await _settle(connection)
    finally:
        await connection.close()


async def _settle(connection: asyncpg.Connection) -> bool:
    """Whether nobody else did so meanwhile."""
    async with connection.transaction():
        await connection.execute("lock table run_log, sinks in share row exclusive mode", timeout=LONGEST_S)
        if not await connection.fetchval(sql("from_elsewhere"), timeout=LONGEST_S):
            return False
        await connection.execute(sql("settle_log"), timeout=LONGEST_S)
        await faults.reach("settle_log.commit")
    await faults.reach("settle_log.committed")
    return True
