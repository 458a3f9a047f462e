"""The database a benchmark runs on: an embedded Postgres on a real disk, with everything durable."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres

_COMMITS = """
select pg_stat_clear_snapshot(), (select xact_commit from pg_stat_database where datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A migrated database and a folder."""

    dsn: str
    folder: Path
    watcher: asyncpg.Connection

    async def commits(self) -> int:
        """How many transactions the database has committed so far, roughly."""
        return int((await self.watcher.fetchrow(_COMMITS))[1])

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        await self.watcher.execute(statement)


@asynccontextmanager
async def ground(kept: Path | None = None) -> AsyncIterator[Ground]:
    """Start Postgres in a new folder under TMPDIR that is gone afterwards, or in one that is `kept`; and end it."""
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") if kept is None else nullcontext(kept) as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder) as dsn:
            await migrate(dsn)
            watcher = await asyncpg.connect(dsn)
            try:
                yield Ground(dsn, folder, watcher)
            finally:
                await watcher.close()
