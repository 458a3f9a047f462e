"""Connections to Postgres, the named SQL files, and which errors mean that Postgres is away."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from service.errors import ConfigError, DatabaseUnavailable

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0

SESSION = {
    "application_name": "tidemill",
    "timezone": "UTC",
    "jit": "off",
    "idle_in_transaction_session_timeout": "60000",
}

# The writer's statements touch few rows of large tables. Their plans are made once, possibly while the tables are still
# empty, so the planner is told to go by the indexes whatever the statistics say, and not to plan anew for each array:
# that takes longer than most of them run. Nor to send for helpers: who picks a batch from the head of an index would
# wait until each of them has found a row too, behind which there may be none.
#
# What is left to the planner is to walk an index instead, where it takes the table for empty. So what is looked up for
# each given row is a subquery with `limit 1`, and rows to change are found by `= any (array[x])` where `= x` would do:
# neither can be turned round. Indexes of what is under way: see 0059_unfinished_runs.sql.
BY_INDEX = {
    "max_parallel_workers_per_gather": "0",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}

# What people look at is filtered by whatever they choose: such a statement is planned for the values it is given.
# Whatever writes has a fault point, and goes elsewhere.
FOR_READING = {"plan_cache_mode": "force_custom_plan", "default_transaction_read_only": "on"}

# The server or the way to it is gone, or it had to undo the transaction: the same call may succeed later.
OUTAGES = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.InternalClientError,  # a connection cut in the middle of an answer
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.IdleInTransactionSessionTimeoutError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
)
# The server, or the encoding for it, refuses what it was given: trying again will not help.
REFUSALS = (asyncpg.PostgresError, asyncpg.exceptions.DataError, TypeError, ValueError, OverflowError)


def is_outage(error: BaseException) -> bool:
    """Whether the same statement may succeed after a reconnect (asyncpg's DataError is an InterfaceError too)."""
    return isinstance(error, OUTAGES) and not isinstance(error, asyncpg.exceptions.DataError)


@cache
def sql(name: str) -> str:
    """The text of `service/db/sql/<name>.sql`."""
    return (resources.files("service.db") / "sql" / f"{name}.sql").read_text()


async def connect(dsn: str, *, by_index: bool = False, daemon: int = 0) -> asyncpg.Connection:
    """A connection set up as all of ours are; a `daemon` that has registered is named for others to see.

    Raises `DatabaseUnavailable` or `ConfigError`, both naming the server.
    """
    session = SESSION | BY_INDEX if by_index else SESSION
    if daemon:
        session = session | {"application_name": f"tidemill daemon {daemon}"}
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, server_settings=session, ssl=_tls(dsn)
        )
    except OUTAGES as error:
        raise _unavailable(dsn, error) from error
    except (ValueError, asyncpg.PostgresError) as error:
        why = error if _is_readable(dsn) else "its port is no number (quote / and @ in a password: %2F, %40)"
        raise ConfigError(f"cannot use the database {where(dsn)}: {why}: check TIDEMILL_DATABASE_URL") from error


async def open_pool(dsn: str, *, size: int) -> asyncpg.Pool:
    """A pool for reads. Raises like `connect`."""
    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=SESSION | FOR_READING,
            ssl=_tls(dsn),
            reset=_leave,
        )
    except OUTAGES as error:
        raise _unavailable(dsn, error) from error


async def _leave(connection: asyncpg.Connection) -> None:
    """What only reads leaves a connection as it was. To reset it is one more trip, for which each read would wait."""


@contextmanager
def telling(dsn: str) -> Iterator[None]:
    """What is wrong with the connection, in our words."""
    try:
        yield
    except OUTAGES as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(f"Postgres at {where(dsn)} does not answer: {error}") from error


def _tls(dsn: str) -> ssl.SSLContext | None:
    """What libpq makes of `sslrootcert=system`, which asyncpg does not know: verify by this machine's certificates."""
    with suppress(ValueError):
        if parse_qs(urlsplit(dsn).query).get("sslrootcert") == ["system"]:
            return ssl.create_default_context()
    return None


def _unavailable(dsn: str, error: BaseException) -> DatabaseUnavailable:
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        told = str(error).splitlines()[0]
        return DatabaseUnavailable(
            f"Postgres at {where(dsn)} cannot be spoken to: {told}: with sslmode=verify-full, add the certificates to "
            "trust to database.url: sslrootcert=system, or sslrootcert=/path/to/ca.pem"
        )
    return DatabaseUnavailable(f"Postgres at {where(dsn)} does not answer: {error or type(error).__name__}")


def where(dsn: str) -> str:
    """A database address that may be shown: no password."""
    parts = urlsplit(dsn)
    if not _is_readable(dsn):
        return "by the URL that is set"
    host = parts.hostname or ",".join(parse_qs(parts.query).get("host", ())) or "localhost"
    return f"{host}:{parts.port or 5432}{parts.path}"


def _is_readable(dsn: str) -> bool:
    """Whether it has a port that is a number. An unquoted / in a password makes a part of it look like a port."""
    try:
        return urlsplit(dsn).port != 0
    except ValueError:
        return False


def columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into one list per column, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
