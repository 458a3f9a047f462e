"""The books: what must hold of the tables whatever crashed. Plain SQL that shares nothing with what wrote the rows.

Each promise is one file, `service/db/sql/ledger_<name>.sql`: it names the rows that break it, and finds none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.db.connect import OUTAGES, connect, sql, where
from service.errors import DatabaseUnavailable

MOST_BREACHES = 20
# Every row is read, and history may be long.
PATIENCE_S = 3_600.0

PROMISES = {
    "events_known": "whatever has a fate was accepted",
    "one_fate": "each event has one fate in each pipeline",
    "joined_runs": "an event that shares a run shares one of its own pipeline",
    "shared_runs": "a run that several events share has each at its own place",
    "owned": "a running run is somebody's",
    "adopted": "a run outlives its daemon",
    "waits_for_something": "a waiting run waits for something that will come",
    "one_success": "a stage succeeds once in a run",
    "ended": "a run that has ended has nothing under way",
    "fenced": "nobody writes under an epoch that was never given out",
    "complete": "a run that succeeded has a result of each of its stages",
    "gated": "a run that succeeded has passed its gates",
    "in_order": "runs of one sequence follow each other",
    "offsets": "micro-batches read no record twice",
    "backfilled": "a tick of a backfill that has started is a run",
    "told": "the run log tells of each end",
    "runs_known": "a run that the run log tells of is there, or was removed",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise that was looked at, with up to `MOST_BREACHES` of its breaches, in words."""

    name: str
    promise: str
    breaches: tuple[str, ...]


async def audit(dsn: str) -> AsyncIterator[Kept]:
    """Look at every promise, all at one instant; changes nothing. Raises `DatabaseUnavailable` or `ConfigError`."""
    connection = await connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, promise in PROMISES.items():
                rows = await connection.fetch(sql(f"ledger_{name}"), MOST_BREACHES, timeout=PATIENCE_S)
                yield Kept(name, promise, tuple(row["what"] for row in rows))
    except OUTAGES as error:
        raise DatabaseUnavailable(f"Postgres at {where(dsn)} does not answer: {error}") from error
    finally:
        await connection.close()
