"""The part of accepting that writes what runs share: which events they hold, and when they are due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from service.db.admit import Admittance, Join, Member
from service.db.connect import columns, sql
from service.db.offered import Place, RunRow
from service.db.writer import Flush
from triggers.base import Fate, Outcome, RunId
from triggers.coalesce import Latest

REASON = "it shares the run of an earlier event"


async def close_full(flush: Flush, admitted: Admittance) -> None:
    """Write the runs that were there already, before others of the same keys are opened."""
    held = [run for run in admitted.gathering if isinstance(run, int)]
    await _write(flush, admitted, [(run, run) for run in held])


async def settle(
    flush: Flush, admitted: Admittance, started: Mapping[Place, RunId], dropped: Mapping[Place, str]
) -> Mapping[Place, Outcome]:
    """Once new runs have their ids: write what they gather, and who joined what. The answer is what the joiners got.

    Raises `SerializationError` where another process decided the same events meanwhile: the flush is repeated.
    """
    opened = [(run, started[run]) for run in admitted.gathering if not isinstance(run, int) and run in started]
    await _write(flush, admitted, opened)
    await _limit(flush, admitted.runs.values(), started)
    joined: list[tuple[Join, int]] = []
    outcomes: dict[Place, Outcome] = {}
    for join in admitted.joins:
        run = join.run if isinstance(join.run, int) else started.get(join.run)
        if run is not None:
            joined.append((join, run))
            outcomes[join.row.place] = _joined(join.row, run)
        elif join.run not in dropped:
            raise asyncpg.exceptions.SerializationError("an event that opens a run was decided elsewhere meanwhile")
    await _put_joined(flush, joined)
    return outcomes


def _joined(row: RunRow, run: int) -> Outcome:
    return Outcome(row.pipeline, row.trigger, Fate.COALESCED, REASON, RunId(run))


async def _put_joined(flush: Flush, joined: Sequence[tuple[Join, int]]) -> None:
    rows = sorted((*one.row.place, one.row.trigger, REASON, run, one.number) for one, run in joined)
    if rows and len(await flush.connection.fetch(sql("put_joined"), *columns(rows, 6))) < len(rows):
        raise asyncpg.exceptions.SerializationError("an event that joins a run was decided elsewhere meanwhile")


async def _write(flush: Flush, admitted: Admittance, ids: Sequence[tuple[Member, int]]) -> None:
    rows = []
    for run, run_id in ids:
        gathering, newest = admitted.gathering[run], admitted.newest[run]
        terms = newest.terms
        if terms is None or terms.coalesce is None:
            continue
        params = newest.params if isinstance(terms.coalesce, Latest) else None
        rows.append((run_id, None if gathering.full else terms.gather_key, gathering.events, gathering.due_at, params))
        if gathering.full:
            flush.wakes.add("")
    if rows:
        await flush.connection.execute(sql("gather"), *columns(sorted(rows, key=lambda row: row[0]), 5))


async def _limit(flush: Flush, rows: Iterable[RunRow], started: Mapping[Place, RunId]) -> None:
    """Count new runs against the limit of their trigger."""
    limited = [
        (started[row.place], row.terms.rate_key)
        for row in rows
        if row.terms is not None and row.terms.rate_limit is not None and row.place in started
    ]
    if limited:
        await flush.connection.execute(sql("put_burst_keys"), *columns(sorted(limited), 2))
