"""The database a benchmark runs on: an embedded Postgres on a real disk, with everything durable."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres

LOOK_S = 0.01
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
# Every transaction that wrote has taken a number. The statistics of Postgres are told by each session when it likes,
# up to a second late.
_NUMBERS = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


@dataclass(frozen=True, slots=True)
class Ground:
    """A migrated database and a folder."""

    dsn: str
    folder: Path
    watcher: asyncpg.Connection

    async def commits(self) -> int:
        """How many transactions have written to the database so far."""
        return await commits_of(self.watcher)

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        await self.watcher.execute(statement)

    async def reaches(self, count: str, wanted: int) -> None:
        """Wait until the query `count` gives so many. It looks a hundred times a second."""
        while await self.watcher.fetchval(count) < wanted:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def ground(kept: Path | None = None) -> AsyncIterator[Ground]:
    """Start Postgres in a new folder under TMPDIR that is gone afterwards, or in one that is `kept`; and end it."""
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") if kept is None else nullcontext(kept) as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder) as dsn:
            await migrate(dsn)
            watcher = await asyncpg.connect(dsn)
            try:
                await _check_durable(watcher)
                yield Ground(dsn, folder, watcher)
            finally:
                await watcher.close()


async def commits_of(connection: asyncpg.Connection) -> int:
    """How many transactions have written to this Postgres since it was made."""
    return int(await connection.fetchval(_NUMBERS))


async def _check_durable(connection: asyncpg.Connection) -> None:
    lazy = [name for name in DURABLE if await connection.fetchval("select current_setting($1)", name) != "on"]
    if lazy:
        raise RuntimeError(f"this Postgres is not durable, so nothing measured on it counts: {', '.join(lazy)} is off")
