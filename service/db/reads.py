"""Reading what the loops need: positions, the progress of claimed runs, and the runs of a daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from service.db.connect import OUTAGES, is_outage, open_pool, sql, where
from service.db.envelopes import shown_event, whole_event
from service.db.rows import Row
from service.errors import DatabaseUnavailable
from stages.secrets import Secrets
from triggers.event import Event

Rows = Sequence[Row]


class Reads:
    """A pool of connections for reading. Every call may raise `DatabaseUnavailable`.

    `secrets` are those never to be shown of what is read.
    """

    def __init__(self, dsn: str, *, size: int, secrets: Secrets | None = None) -> None:
        self.secrets = secrets or Secrets()
        self._dsn = dsn
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect."""
        self._pool = await open_pool(self._dsn, size=self._size)

    async def close(self) -> None:
        """Drop the connections."""
        if self._pool is not None:
            self._pool.terminate()

    async def fetch(self, name: str, *arguments: Any) -> list[Row]:
        """The rows of `service/db/sql/<name>.sql`."""
        return await self._answer(sql(name), arguments)

    async def expected(self, name: str, *arguments: Any) -> float:
        """How many rows the planner takes `service/db/sql/<name>.sql` to have for these arguments. It is not run."""
        [row] = await self._answer("explain (format json) " + sql(name), arguments)
        return float(orjson.loads(row["QUERY PLAN"])[0]["Plan"]["Plan Rows"])

    async def _answer(self, statement: str, arguments: Sequence[Any]) -> list[Row]:
        if self._pool is None:
            raise DatabaseUnavailable("the database connection is not open")
        try:
            return await self._fetch(self._pool, statement, arguments)
        except OUTAGES as error:
            if not is_outage(error):
                raise
            raise DatabaseUnavailable(f"Postgres at {where(self._dsn)} does not answer: {error}") from error

    async def _fetch(self, pool: asyncpg.Pool, statement: str, arguments: Sequence[Any]) -> list[Row]:
        """Read; once more where the pool's idle connection turned out to be from before a restart of the server."""
        try:
            rows: list[Row] = await pool.fetch(statement, *arguments)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.exceptions.OperatorInterventionError):
            await pool.expire_connections()
            rows = await pool.fetch(statement, *arguments)
        return rows

    async def row(self, name: str, *arguments: Any) -> Row | None:
        """The first row of `service/db/sql/<name>.sql`, or None."""
        rows = await self.fetch(name, *arguments)
        return rows[0] if rows else None

    def shown(self, stored: bytes) -> dict[str, Any]:
        """A stored event as it is shown."""
        return shown_event(stored, self.secrets)

    async def installation(self) -> UUID:
        """The identity of this database."""
        row = await self.row("installation")
        if row is None:
            raise DatabaseUnavailable("this database has no tidemill tables: run `tidemill migrate`")
        identity: UUID = row["id"]
        return identity

    async def clock(self) -> datetime:
        """What time it is for the database."""
        row = await self.row("clock")
        if row is None:
            raise DatabaseUnavailable("Postgres does not say what time it is")
        at: datetime = row["at"]
        return at

    async def positions(self, scope: str) -> Mapping[str, str]:
        """Every stored position of a scope, by key."""
        return {row["key"]: row["value"] for row in await self.fetch("positions", scope)}

    async def position(self, scope: str, key: str) -> str | None:
        """One stored position."""
        return next((row["value"] for row in await self.fetch("position_at", scope, key)), None)

    async def progress(self, run_ids: Sequence[int]) -> tuple[Mapping[int, Rows], Mapping[int, Rows]]:
        """The attempts and the gates of runs, each by run."""
        attempts = await self.fetch("attempts_of", run_ids)
        gates = await self.fetch("gates_of", run_ids)
        return _by_run(attempts), _by_run(gates)

    async def joined(self, run_ids: Sequence[int]) -> Mapping[int, Sequence[Event]]:
        """The events that joined runs after the first, in the order in which they were accepted, by run."""
        found: dict[int, list[Event]] = {}
        for row in await self.fetch("gathered_events", run_ids):
            found.setdefault(row["run_id"], []).append(whole_event(row["envelope"]))
        return found


def _by_run(rows: Rows) -> Mapping[int, Rows]:
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["run_id"], []).append(row)
    return grouped
