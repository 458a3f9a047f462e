"""Whoever cancels a run meets what its owner does to it at that moment."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from service.db.steering import Cancel
from service.model import RunState
from tests.db.writing import accept, rows, until, writing

PARKS = "update runs set state = 'waiting', owner = null, ready_at = now() + interval '1 hour'"
ENDS = """
with ended as (
    update runs set state = 'failed', owner = null, finished_at = now() returning id, pipeline
)
insert into run_log (daemon, entries)
select (select max(id) from daemons), convert_to(
    json_build_array(json_build_object('run', id, 'pipeline', pipeline, 'move', 'failed'))::text, 'UTF8'
) from ended
"""
WAITS = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
CLAIMS = "update runs set state = 'running', owner = (select max(id) from daemons), epoch = epoch + 1, ready_at = null"


@pytest.mark.parametrize(
    ("taken", "cleans", "meanwhile", "answer", "state"),
    [
        (True, False, PARKS, RunState.CANCELLED, "cancelled"),
        (True, True, PARKS, RunState.WAITING, "waiting"),
        (True, False, ENDS, None, "failed"),
        (False, False, CLAIMS, RunState.RUNNING, "running"),
    ],
    ids=["it parks", "it parks and must clean up", "it ends", "it is claimed"],
)
async def test_a_cancel_goes_by_what_the_run_is_once_it_has_the_row(
    database: str, taken: bool, cleans: bool, meanwhile: str, answer: RunState | None, state: str
) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a", take=taken))
        [(run_id,)] = await rows(database, "update runs set cleans = $1 returning id", cleans)
        owner = await asyncpg.connect(database)
        try:
            async with owner.transaction():
                await owner.execute(meanwhile)
                cancelling = writer.submit(Cancel(run_id, "kim"))
                await until(database, 10, WAITS)
            async with asyncio.timeout(10):
                assert await cancelling == [answer]
        finally:
            await owner.close()
    [row] = await rows(database, "select state, owner is null as free, cancelled_by from runs")
    assert tuple(row) == (state, state != "running", None if answer is None else "kim")
