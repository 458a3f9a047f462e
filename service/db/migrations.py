"""Numbered, forward-only SQL migrations, applied by one process at a time, while daemons of the last release work on.

What a migration may do is told in docs/upgrading.md. A file may begin with one of these lines:

    -- contract: daemons must know NNNN
    -- outside a transaction
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources

import asyncpg

from service.db.connect import connect, sql, telling
from service.errors import MigrationError
from triggers import faults

logger = logging.getLogger("tidemill")

# The advisory lock under which migrations run: the bytes of "tidemill", as a signed 64-bit number.
LOCK = int.from_bytes(b"tidemill", "big")
# Some read a whole table.
LONGEST_S = 86_400.0
# Whoever waits for a table's lock keeps everybody else waiting behind it: so not for long, and again a little later.
LOCK_TIMEOUT = "2s"
LOCK_TRIES = 150
PAUSE_S = 0.5
CONTRACT = re.compile(r"-- contract: daemons must know (\d{4})\n")
OUTSIDE = "-- outside a transaction\n"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `service/db/migrations`, such as `0001_spine.sql`."""

    number: int
    name: str
    sql: str

    @property
    def needs(self) -> int:
        """The migration that a daemon must know to go on after this one; 0: it only adds, and any daemon goes on."""
        found = CONTRACT.match(self.sql)
        return int(found[1]) if found else 0

    def statements(self) -> Iterator[str]:
        """Those of a file that is written outside a transaction. Each is safe to run again: the one before may hold."""
        return (one for one in (part.strip() for part in self.sql.removeprefix(OUTSIDE).split(";\n")) if one)


def migrations() -> list[Migration]:
    """All migrations this version of the code knows, in order."""
    folder = resources.files("service.db") / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [Migration(int(entry.name[:4]), entry.name.removesuffix(".sql"), entry.read_text()) for entry in files]


def newest() -> int:
    """The newest migration this version of the code knows."""
    return migrations()[-1].number


async def migrate(dsn: str) -> list[str]:
    """Bring the database up to this version and return the names of the migrations applied now.

    Safe to call from many processes at once and again at any time, also by a version that is older than the database.
    Raises `MigrationError` when it is too old for that, or when a daemon is that still runs; `DatabaseUnavailable`
    when the database does not answer.
    """
    async with _locked(dsn) as connection:
        with telling(dsn):
            return [migration.name for migration in await _pending(connection) if await _apply(connection, migration)]


async def pending(dsn: str) -> list[str]:
    """The names of the migrations this database lacks. Raises `MigrationError` when this version is too old for it."""
    connection = await connect(dsn)
    with telling(dsn):
        try:
            return [migration.name for migration in await _pending(connection)]
        finally:
            await connection.close()


async def check_not_too_old(connection: asyncpg.Connection) -> list[str]:
    """The names of the migrations that this version does not know, and can do without. Raises `MigrationError`."""
    mine = newest()
    rows = await connection.fetch(sql("later_migrations"), [migration.number for migration in migrations()])
    needs = max((row["needs"] for row in rows), default=0)
    if needs > mine:
        raise MigrationError(
            f"the database has been upgraded to migration {rows[-1]['name']}, which is for daemons that know"
            f" {needs:04d}; this one knows {mine:04d} at most: upgrade tidemill, or point it at another database"
        )
    return [row["name"] for row in rows]


@asynccontextmanager
async def _locked(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that alone may migrate. It asks again and again: an index that is made `concurrently` would wait for
    the snapshot of everybody who waits in a statement, who wait for it.
    """
    connection = await connect(dsn)
    try:
        with telling(dsn):
            async with asyncio.timeout(LONGEST_S):
                while True:
                    if await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
                        break
                    await asyncio.sleep(PAUSE_S)
        yield connection
    finally:
        await connection.close()


async def _pending(connection: asyncpg.Connection) -> list[Migration]:
    await faults.reach("migration.commit")
    await connection.execute(
        "create table if not exists migrations"
        " (number integer primary key, name text not null, applied_at timestamptz not null default now())"
    )
    if ahead := await check_not_too_old(connection):
        logger.info("the database is ahead of this version by %s, which it can do without", ", ".join(ahead))
    applied = {row["number"] for row in await connection.fetch("select number from migrations")}
    return [migration for migration in migrations() if migration.number not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            await _apply_once(connection, migration)
        except asyncpg.exceptions.LockNotAvailableError:
            logger.info("migration %s waits for somebody who reads or writes its tables", migration.name)
            await asyncio.sleep(PAUSE_S)
        else:
            return True
    raise MigrationError(
        f"migration {migration.name} did not get its tables' locks in {LOCK_TRIES} tries: something has a transaction"
        " open on them (a backup, a long query): see pg_stat_activity, then try again. Nothing was changed"
    )


async def _apply_once(connection: asyncpg.Connection, migration: Migration) -> None:
    alone = migration.sql.startswith(OUTSIDE)
    for statement in migration.statements() if alone else ():
        await faults.reach("migration.commit")
        await connection.execute(statement, timeout=LONGEST_S)
    async with connection.transaction():
        await connection.execute("select set_config('lock_timeout', $1, true)", LOCK_TIMEOUT)
        if migration.needs:
            await _check_daemons(connection, migration)
        if not alone:
            await connection.execute(migration.sql, timeout=LONGEST_S)
        await connection.execute(
            "insert into migrations (number, name) values ($1, $2)", migration.number, migration.name
        )
        if migration.needs:
            await connection.execute(
                "update migrations set needs = $2 where number = $1", migration.number, migration.needs
            )
        await faults.reach("migration.commit")
    await faults.reach("migration.committed")


async def _check_daemons(connection: asyncpg.Connection, migration: Migration) -> None:
    """No daemon that is too old lives, and none begins before this has committed.

    Those that are suspended have lost their leases, and would register anew, which they may not any more.
    """
    await faults.reach("migration.commit")
    await connection.execute("lock table daemons in share row exclusive mode")
    await connection.fetch(sql("end_standing"), 0)
    await connection.fetch(sql("adopt"), 0)
    if old := await connection.fetch(sql("too_old"), migration.needs):
        told = ", ".join(f"daemon {one['id']} on {one['host']}, process {one['pid']}" for one in old)
        raise MigrationError(
            f"migration {migration.name} is for daemons that know {migration.needs:04d}, and others still run: {told}:"
            " stop them, or upgrade them to the release before this one first. Nothing was changed by it"
        )
