"""Numbered, forward-only SQL migrations, applied by one process at a time."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import asyncpg

from service.db.connect import connect, telling
from service.errors import MigrationError
from triggers import faults

# The advisory lock under which migrations run: the bytes of "tidemill", as a signed 64-bit number.
LOCK = int.from_bytes(b"tidemill", "big")
# Some read a whole table.
LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `service/db/migrations`, such as `0001_spine.sql`."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All migrations this version of the code knows, in order."""
    folder = resources.files("service.db") / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [Migration(int(entry.name[:4]), entry.name.removesuffix(".sql"), entry.read_text()) for entry in files]


async def migrate(dsn: str) -> list[str]:
    """Bring the database up to this version and return the names of the migrations applied now.

    Safe to call from many processes at once and again at any time. Raises `MigrationError` when the database is newer
    than this code, `DatabaseUnavailable` when it does not answer.
    """
    connection = await connect(dsn)
    with telling(dsn):
        try:
            await connection.execute("select pg_advisory_lock($1)", LOCK, timeout=LONGEST_S)
            return [migration.name for migration in await _pending(connection) if await _apply(connection, migration)]
        finally:
            await connection.close()


async def pending(dsn: str) -> list[str]:
    """The names of the migrations this database lacks."""
    connection = await connect(dsn)
    with telling(dsn):
        try:
            return [migration.name for migration in await _pending(connection)]
        finally:
            await connection.close()


async def _pending(connection: asyncpg.Connection) -> list[Migration]:
    await faults.reach("migration.commit")
    await connection.execute(
        "create table if not exists migrations"
        " (number integer primary key, name text not null, applied_at timestamptz not null default now())"
    )
    applied = {row["number"] for row in await connection.fetch("select number from migrations")}
    known = migrations()
    unknown = applied - {migration.number for migration in known}
    if unknown:
        raise MigrationError(
            f"the database has migration {max(unknown)}, which this version of tidemill does not know:"
            " upgrade tidemill, or point it at another database"
        )
    return [migration for migration in known if migration.number not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> bool:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=LONGEST_S)
        await connection.execute(
            "insert into migrations (number, name) values ($1, $2)", migration.number, migration.name
        )
        await faults.reach("migration.commit")
    await faults.reach("migration.committed")
    return True
