"""What a Postgres server says of itself, for `tidemill doctor`. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from service.db.connect import OUTAGES, connect, sql, where
from service.db.migrations import check_not_too_old, migrations
from service.errors import DatabaseUnavailable, MigrationError
from triggers.event import utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """`skew_s` is how far the server's clock is ahead of this machine's, give or take `unsure_s`.

    `missing` are migrations it lacks, `ahead` those it has and this version does not know; `too_old` says that and why
    this version cannot do without them.
    """

    version: str
    version_number: int
    undurable: tuple[str, ...]
    standby: bool
    may_create: bool
    missing: tuple[str, ...]
    ahead: tuple[str, ...]
    too_old: str
    skew_s: float
    unsure_s: float


async def inspect(dsn: str) -> DatabaseFacts:
    """Ask the server. Raises `DatabaseUnavailable` or `ConfigError`."""
    connection = await connect(dsn)
    try:
        before = utc_now()
        row = await connection.fetchrow(sql("inspect"))
        after = utc_now()
        applied = await connection.fetch("select number from migrations") if row["has_tables"] else []
        ahead, too_old = await _ahead(connection) if row["has_tables"] else ([], "")
    except OUTAGES as error:
        raise DatabaseUnavailable(f"Postgres at {where(dsn)} does not answer: {error}") from error
    finally:
        await connection.close()
    known = {migration.number: migration.name for migration in migrations()}
    there = {each["number"] for each in applied}
    round_trip = after - before
    return DatabaseFacts(
        version=row["version"],
        version_number=row["version_number"],
        undurable=_undurable(row["fsync"], row["full_page_writes"], row["synchronous_commit"]),
        standby=row["standby"],
        may_create=row["may_create"],
        missing=tuple(name for number, name in known.items() if number not in there),
        ahead=tuple(ahead),
        too_old=too_old,
        skew_s=(row["now"] - (before + round_trip / 2)).total_seconds(),
        unsure_s=round_trip.total_seconds() / 2,
    )


async def is_empty(dsn: str) -> bool:
    """Whether a database has no tables of ours."""
    connection = await connect(dsn)
    try:
        return not (await connection.fetchrow(sql("inspect")))["has_tables"]
    finally:
        await connection.close()


async def _ahead(connection: asyncpg.Connection) -> tuple[list[str], str]:
    try:
        return await check_not_too_old(connection), ""
    except MigrationError as error:
        return [], str(error)


def _undurable(fsync: str, full_page_writes: str, synchronous_commit: str) -> tuple[str, ...]:
    """The settings under which a crash of the server loses what it had acknowledged."""
    found = {"fsync": fsync, "full_page_writes": full_page_writes, "synchronous_commit": synchronous_commit}
    return tuple(f"{name}={value}" for name, value in found.items() if value == "off")
