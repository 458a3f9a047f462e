"""The parts of the run log: one for each day, made ahead, and dropped once every sink has read it.

Over a connection of its own. Making and dropping a part wait for nobody longer than `LOCK_S`: whoever wants to write
waits behind them for that long at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from service.db.connect import connect, sql, telling
from service.db.retention import let_go
from service.db.rows import Row
from service.db.sinks import lock_of
from service.errors import Conflict
from triggers import faults

# The advisory lock of the one process that looks after the log: the bytes of "tide log", as a number.
LOCK = int.from_bytes(b"tide log", "big")
LOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class LogPart:
    """A part of the log, and the sinks that have not read all of it."""

    name: str
    unread_by: Collection[str]


@dataclass(frozen=True, slots=True)
class LogParts:
    """The parts of the log. Every call may raise `DatabaseUnavailable`, or `Conflict` where somebody holds the log."""

    dsn: str
    connection: asyncpg.Connection

    async def make(self, ahead_days: int) -> None:
        """The parts of today and the days after it. Harmless to repeat."""
        await self._fetch("make_log_parts", ahead_days)

    async def old(self, age_s: float) -> list[LogPart]:
        """Those that ended so long ago, the oldest first."""
        return [LogPart(row["name"], row["unread_by"]) for row in await self._fetch("old_log_parts", age_s)]

    async def drop(self, name: str) -> None:
        """Forget a part."""
        await self._fetch("drop_log_part", name)

    async def trim(self, age_s: float, gone: Collection[str]) -> None:
        """Forget old rows of days that had no part, as far as every sink but the `gone` ones has read."""
        await self._fetch("trim_log", age_s, list(gone))

    async def gone(self, age_s: float) -> set[str]:
        """Sinks for which nothing was delivered in so long, and for which no process delivers."""
        silent = [row["name"] for row in await self._fetch("silent_sinks", age_s)]
        return {name for name in silent if await self._nobody_delivers(name)}

    async def _nobody_delivers(self, sink: str) -> bool:
        with telling(self.dsn):
            mine: bool = await self.connection.fetchval("select pg_try_advisory_xact_lock($1)", lock_of(sink))
            return mine

    async def _fetch(self, name: str, *arguments: Any) -> list[Row]:
        with telling(self.dsn):
            await faults.reach(f"{name}.commit")
            try:
                rows: list[Row] = await self.connection.fetch(sql(name), *arguments)
            except asyncpg.LockNotAvailableError as error:
                raise Conflict("somebody holds the run log: it is tidied up another time") from error
            await faults.reach(f"{name}.committed")
            return rows


@asynccontextmanager
async def log_parts(dsn: str) -> AsyncIterator[LogParts]:
    """The right to look after the log. Raises `Conflict` while another process does, `DatabaseUnavailable`."""
    connection = await connect(dsn, by_index=True)
    try:
        with telling(dsn):
            await connection.execute("select set_config('lock_timeout', $1, false)", f"{LOCK_S}s")
            mine = await connection.fetchval("select pg_try_advisory_lock($1)", LOCK)
        if not mine:
            raise Conflict("another process looks after the run log")
        yield LogParts(dsn, connection)
    finally:
        await let_go(connection)
