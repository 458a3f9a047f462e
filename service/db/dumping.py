"""A database as of one instant, for a backup: its dump, and what it refers to. Nothing is cleaned up meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from service.db.connect import connect, sql, telling
from service.db.retention import removing
from service.errors import ServiceError
from stages.commands.command import Command, ending
from stages.commands.launch import NOT_STARTED

READ_TIMEOUT_S = 3600.0
PAGE = 1000
# What an address may hold that is secret, and the variables of libpq for it.
IN_A_QUERY = ("password", "sslpassword")
VARIABLES = {"password": "PGPASSWORD"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The instant. It lasts as long as the block that took it."""

    dsn: str
    id: str
    newest: int
    connection: asyncpg.Connection

    async def dump(self, to: Path, programs: Path) -> None:
        """Write everything to a file, in pg_dump's own format. Raises `ServiceError`."""
        given = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={self.id}", f"--file={to}")
        await _run(programs / "pg_dump", given, self.dsn)

    async def referred_to(self) -> AsyncIterator[str]:
        """The digest of every artifact that its rows refer to."""
        with telling(self.dsn):
            async for row in self.connection.cursor(sql("referred_to"), prefetch=PAGE, timeout=READ_TIMEOUT_S):
                yield row["digest"]


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[Snapshot]:
    """Raises `Conflict` while somebody cleans up, `DatabaseUnavailable`."""
    async with removing(dsn):
        connection = await connect(dsn)
        try:
            # It idles while files are copied.
            await connection.execute("set idle_in_transaction_session_timeout = 0")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                exported = await connection.fetchval("select pg_export_snapshot()")
                newest = await connection.fetchval("select max(number) from migrations")
                yield Snapshot(dsn, exported, newest, connection)
        finally:
            await connection.close()


async def restore(dsn: str, dump: Path, programs: Path) -> None:
    """Fill an empty database: all of it or nothing. Raises `ServiceError`."""
    given = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(dump))
    await _run(programs / "pg_restore", given, dsn)


async def _run(program: Path, given: Sequence[str], dsn: str) -> None:
    address, secrets = without_password(dsn)
    with _lent(secrets) as (more, variables):
        arguments = (str(program), f"--dbname={address}{more}", *given)
        command = Command(arguments, environment={**os.environ, **variables})
        try:
            code = await command.run()
        except OSError as error:
            raise ServiceError(f"{program} cannot be started: {error}: try again") from error
    said = "\n".join(command.last).strip()
    if code == NOT_STARTED:
        raise ServiceError(f"{said}: name the folder of Postgres' programs: --programs")
    if code:
        raise ServiceError(f"{program.name} failed: {said or ending(code)}")


@contextmanager
def _lent(secrets: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Variables that hold secrets, and what an address needs besides: libpq has none for the password of a key, which
    goes into a file of its own for a while.
    """
    variables = {VARIABLES[key]: value for key, value in secrets.items() if key in VARIABLES}
    in_file = [f"{key}={value}\n" for key, value in secrets.items() if key not in VARIABLES]
    if not in_file:
        yield "", variables
        return
    with tempfile.NamedTemporaryFile("w", prefix="tidemill-service-", encoding="utf-8") as file:
        file.writelines(["[tidemill]\n", *in_file])
        file.flush()
        yield "service=tidemill", {**variables, "PGSERVICEFILE": file.name}


def without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """An address that everybody on the machine may see among the arguments of a process, and what it lacks.

    Where it lacks what no variable holds it ends so that a parameter can be added.
    """
    parts = urlsplit(dsn)
    user, at, server = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qsl(parts.query)
    found = {"password": unquote(password)} if password else {}
    found |= {key: value for key, value in query if key in IN_A_QUERY}
    left = urlencode([(key, value) for key, value in query if key not in IN_A_QUERY])
    address = urlunsplit(parts._replace(netloc=f"{name}{at}{server}", query=left))
    if found.keys() - VARIABLES.keys():
        address += "&" if left else "?"
    return address, found
