"""Reading the run log as a sink does: in commit order, from its own durable position, one process at a time.

Whoever holds a sink's advisory lock delivers for it, and moves its position by the same connection: who lost the
connection has lost both. What was delivered and not moved past is delivered again, by whoever comes next.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from service.db.connect import connect, sql, telling
from service.db.retention import let_go
from service.db.rows import Row
from service.errors import Conflict
from triggers import faults

# A page has as many rows, or as few as hold so many entries: a slow sink keeps it in memory until it is through, and
# after a crash begins it anew.
_PAGE = 100
_MOST_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing the log tells. `place` is its own in this installation, and never another's."""

    place: str
    at: datetime
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogPage:
    """What comes next in the log, up to the row at `last`."""

    entries: Sequence[LogEntry]
    last: tuple[str, int]


@dataclass(slots=True)
class Tail:
    """One sink's place in the log. Every call may raise `DatabaseUnavailable`."""

    dsn: str
    name: str
    connection: asyncpg.Connection
    position: tuple[str, int]
    rows: int = _PAGE

    async def page(self) -> LogPage | None:
        """What comes next, or None where there is nothing that may be read yet. Where a row holds much, fewer are
        asked for the next time.
        """
        found: list[LogEntry] = []
        last, taken = self.position, 0
        for row in await self._fetch("sink_page", *self.position, self.rows):
            if len(found) >= _MOST_ENTRIES:
                break
            found += _entries(row)
            last, taken = (row["xid"], row["seq"]), taken + 1
        self.rows = min(2 * taken, _PAGE) or _PAGE
        return LogPage(found, last) if taken else None

    async def more(self) -> bool:
        """Whether something is there that may not be read before older transactions are over."""
        [row] = await self._fetch("sink_more", *self.position)
        return bool(row["more"])

    async def move(self, last: tuple[str, int], *, delivered: int, refused: int) -> None:
        """Everything up to `last` is delivered: what makes that durable is `service/db/sql/sink_move.sql`."""
        await self._fetch("sink_move", self.name, *last, delivered, refused)
        self.position = last

    async def trouble(self, note: str) -> None:
        """Say why nothing is delivered now."""
        await self._fetch("sink_trouble", self.name, note or "trouble")

    async def runs(self, run_ids: Sequence[int]) -> Mapping[int, Row]:
        """What is known of runs now. Those that were removed are not there."""
        return {row["id"]: row for row in await self._fetch("sink_runs", run_ids)}

    async def _fetch(self, name: str, *arguments: Any) -> list[Row]:
        with telling(self.dsn):
            await faults.reach(f"{name}.commit")
            rows: list[Row] = await self.connection.fetch(sql(name), *arguments)
            await faults.reach(f"{name}.committed")
            return rows


@asynccontextmanager
async def tailing(dsn: str, name: str) -> AsyncIterator[Tail]:
    """The right to deliver for a sink. Raises `Conflict` while another process has it, `DatabaseUnavailable`."""
    connection = await connect(dsn, by_index=True)
    try:
        with telling(dsn):
            if not await connection.fetchval("select pg_try_advisory_lock($1)", lock_of(name)):
                raise Conflict(f"another process delivers for sink {name}")
            await faults.reach("sink_begin.commit")
            await connection.execute(sql("sink_begin"), [name])
            await faults.reach("sink_begin.committed")
            row = await connection.fetchrow(sql("sink_position"), name)
        yield Tail(dsn, name, connection, (row["xid"], row["seq"]))
    finally:
        await let_go(connection)


async def announce_sinks(dsn: str, names: Sequence[str]) -> None:
    """Where sinks that are new begin: with what happens from now on. Raises `DatabaseUnavailable`."""
    if not names:
        return
    connection = await connect(dsn)
    try:
        with telling(dsn):
            await faults.reach("sink_begin.commit")
            await connection.execute(sql("sink_begin"), list(names))
            await faults.reach("sink_begin.committed")
    finally:
        connection.terminate()


def lock_of(name: str) -> int:
    """The advisory lock of the one process that delivers for a sink."""
    return int.from_bytes(hashlib.blake2b(f"tidemill sink {name}".encode(), digest_size=8).digest(), signed=True)


def _entries(row: Row) -> list[LogEntry]:
    told = orjson.loads(row["entries"])
    return [LogEntry(f"{row['xid']}.{row['seq']}.{index}", row["at"], one) for index, one in enumerate(told)]
