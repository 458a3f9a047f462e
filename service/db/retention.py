"""Taking away runs and events that are kept no longer, and telling which artifacts are still referred to.

Over a connection of its own, in small transactions: the writer and its callers do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import asyncpg

from service.db.bodies import SCOPE
from service.db.connect import OUTAGES, connect, sql, telling
from service.db.results import output_of
from service.db.rows import Row
from service.db.writer import Flush, Operation
from service.errors import Conflict
from stages.artifacts import ArtifactRef
from triggers import faults

# The advisory lock of the one process that cleans up: the bytes of "tide gc", as a number.
LOCK = int.from_bytes(b"tide gc", "big")
BATCH = 200
# How many runs are looked at in one go for those that may go: what is kept is not all walked by one statement.
LOOK = 20_000
# How many events are looked at in one go to be counted: with each go the runs that may go are told again.
COUNT = 50_000
RELEASE_S = 2.0


@dataclass(frozen=True, slots=True)
class Removal:
    """One clean-up. Every call may raise `DatabaseUnavailable`; each that changes anything is one transaction."""

    dsn: str
    connection: asyncpg.Connection

    async def now(self) -> datetime:
        """The database's clock."""
        [row] = await self._fetch("database_time")
        at: datetime = row["at"]
        return at

    async def pipelines(self) -> list[str]:
        """Every pipeline that has runs."""
        return [row["pipeline"] for row in await self._fetch("run_pipelines")]

    async def in_review(self) -> int:
        """How many failed runs wait for a person."""
        [row] = await self._fetch("count_reviews")
        return int(row["reviews"])

    async def removable(
        self, pipeline: str, *, keep: int, age_s: float | None, pinned: Sequence[str]
    ) -> AsyncIterator[list[int]]:
        """The runs that may go, oldest first, in batches."""
        last, more = 0, True
        while more:
            [ahead] = await self._fetch("look_ahead", pipeline, last, LOOK, age_s)
            until, more = ahead["last"], bool(ahead["old"])
            while ids := await self._ids("removable_runs", pipeline, keep, age_s, last, pinned, BATCH, until):
                yield ids
                last = ids[-1]
            last = until

    async def mark(self, ids: Sequence[int]) -> None:
        """Put on record that these runs are going. Harmless to repeat."""
        await self._fetch("mark_removed", ids)

    async def next_transaction(self) -> str:
        """The number that transactions which begin from now on have at least."""
        [row] = await self._fetch("next_transaction")
        return str(row["next"])

    async def all_ended_before(self, transaction: str) -> bool:
        """Whether every transaction with a lower number is over."""
        [row] = await self._fetch("all_ended_before", transaction)
        return bool(row["ended"])

    async def removing(self) -> int:
        """How many runs are marked."""
        [row] = await self._fetch("count_removing")
        return int(row["runs"])

    async def remove_marked(self) -> list[Row]:
        """Remove a batch of marked runs. They may all have been resumed meanwhile: `removing` tells what is left."""
        return await self._fetch("remove_runs", BATCH)

    async def remove_events(self, age_s: float) -> int:
        """Remove old events that are in no run any more."""
        removed: int = 0
        last: int | None = 0
        while last is not None:
            [row] = await self._fetch("remove_events", last, age_s, BATCH * 5)
            removed += row["events"]
            last = row["last"]
        return removed

    async def remove_bodies(self, age_s: float) -> int:
        """Forget the bodies of hooks whose events are gone."""
        removed: int = 0
        last: str | None = ""
        while last is not None:
            [row] = await self._fetch("remove_bodies", SCOPE, last, age_s, BATCH * 5)
            removed += row["bodies"]
            last = row["last"]
        return removed

    async def remove_predictions(self, age_s: float) -> None:
        """Forget how many predictions were answered on days that are so long ago."""
        while (await self._fetch("remove_predictions", age_s, BATCH * 5))[0]["days"]:
            continue

    async def old_events(self, age_s: float, gone: Sequence[int]) -> int:
        """How many events `remove_events` would remove, were these runs gone."""
        found: int = 0
        last: int | None = 0
        while last is not None:
            [row] = await self._fetch("count_old_events", last, age_s, COUNT, gone)
            found += row["events"]
            last = row["last"]
        return found

    async def weigh(self, ids: Sequence[int]) -> Row:
        """How many attempts and log lines these runs have."""
        [row] = await self._fetch("weigh_runs", ids)
        return row

    async def outputs(self, ids: Sequence[int]) -> list[Row]:
        """The artifacts of the store that these runs refer to: digest, size and how often."""
        return await self._fetch("stored_outputs", ids)

    async def uses(self, digests: Sequence[str]) -> Mapping[str, int]:
        """How often each of these artifacts is referred to by rows of runs."""
        return {row["digest"]: row["uses"] for row in await self._fetch("count_uses", digests)}

    async def used(self, digests: Sequence[str]) -> set[str]:
        """Those of these artifacts that rows of runs refer to."""
        return {row["digest"] for row in await self._fetch("used_artifacts", digests)}

    async def pinned(self) -> set[str]:
        """The artifacts that registered models refer to."""
        return {row["digest"] for row in await self._fetch("pinned_artifacts")}

    async def lists_taken(self) -> list[ArtifactRef]:
        """Lists of results in runs that have not got the results themselves."""
        return [output_of(row) for row in await self._fetch("lists_taken")]

    async def mapping_since(self) -> datetime | None:
        """Since when unfinished runs work through lists whose items are in no row."""
        [row] = await self._fetch("mapping_since")
        since: datetime | None = row["since"]
        return since

    async def _ids(self, name: str, *arguments: Any) -> list[int]:
        return [row["id"] for row in await self._fetch(name, *arguments)]

    async def _fetch(self, name: str, *arguments: Any) -> list[Row]:
        with telling(self.dsn):
            await faults.reach(f"{name}.commit")
            rows: list[Row] = await self.connection.fetch(sql(name), *arguments)
            await faults.reach(f"{name}.committed")
            return rows


@asynccontextmanager
async def removing(dsn: str) -> AsyncIterator[Removal]:
    """The right to clean up. Raises `Conflict` while another process does, `DatabaseUnavailable`."""
    connection = await connect(dsn, by_index=True)
    try:
        with telling(dsn):
            # A pipeline with few runs among many needs another plan than one with many.
            await connection.execute("set plan_cache_mode = force_custom_plan")
            mine = await connection.fetchval("select pg_try_advisory_lock($1)", LOCK)
        if not mine:
            raise Conflict("another process is cleaning up: try again when it is done")
        yield Removal(dsn, connection)
    finally:
        await let_go(connection)


async def let_go(connection: asyncpg.Connection) -> None:
    """Give the lock back at once: the server keeps it until it has noticed that the connection is gone."""
    try:
        with suppress(*OUTAGES):
            async with asyncio.timeout(RELEASE_S):
                await connection.fetchval("select pg_advisory_unlock_all()")
    finally:
        connection.terminate()


@dataclass(eq=False, slots=True)
class NoteCleanUp(Operation):
    """Put on record in the run log what was removed, and who asked."""

    order: ClassVar[int] = 93

    entry: Mapping[str, Any]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[NoteCleanUp]) -> Sequence[None]:
        """One entry for each clean-up."""
        flush.log.extend({"move": "cleaned", **op.entry} for op in operations)
        return [None] * len(operations)
