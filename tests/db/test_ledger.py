"""The books of a database that worked are right, and each kind of wrong entry is found."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from service.db.ledger import PROMISES, audit
from service.model import RunState
from stages import Pipeline, stage
from stages.gates import row_count
from tests.db.daemons import daemon, reached, settings
from triggers import Batch, Manual
from triggers.base import Arrival, Binding
from triggers.event import Event, utc_now
from triggers.match import offer

# What makes each promise untrue.
BREACHES = {
    "events_known": "delete from events where id = 'c'",
    "one_fate": "insert into fates (event_key, pipeline, trigger, fate, reason) "
    "select event_key, pipeline, trigger, 'ignored', 'filter' from runs",
    "joined_runs": "update fates set pipeline = 'another' where fate = 'coalesced'",
    "shared_runs": "delete from fates where fate = 'coalesced'",
    "owned": "alter table runs drop constraint runs_check; update runs set owner = 4711",
    "adopted": "update runs set state = 'running', owner = 1, finished_at = null; "
    "update daemons set renewed_at = now() - interval '1 hour', state = 'lapsed' where id = 1; "
    "insert into daemons (host, pid, roles, version, lease_s, started_at) "
    "values ('h', 1, '{executor}', '1', 5, now() - interval '1 hour')",
    "waits_for_something": "update runs set state = 'waiting', finished_at = null",
    "one_success": "create temp table again as select * from attempts; update again set attempt = attempt + 1; "
    "insert into attempts select * from again",
    "ended": "update attempts set state = 'running', output_digest = null, finished_at = null",
    "fenced": "update attempts set epoch = 99",
    "complete": "delete from attempts where stage = 'last'",
    "gated": "update gates set state = 'failed'",
    "in_order": "update runs set sequence = 's', started_at = '2026-01-01', finished_at = '2026-01-02'",
    "offsets": "insert into fates (event_key, pipeline, trigger, fate, reason) "
    "select key, 'another', 'batches', 'ignored', 'filter' from events; "
    "update events set type = 'dev.tidemill.kafka.batch', envelope = convert_to(format("
    """'{"data": {"topic": "t", "partition": 0, "first_offset": %s, "last_offset": %s}}', seq, seq + 1), 'utf8')""",
    "backfilled": "insert into backfill_ticks (backfill, due_at, state, run_id, reason) "
    "values (1, now(), 'succeeded', 4711, '')",
    "told": "delete from run_log where seq > 1",
    "runs_known": "set session_replication_role = replica; delete from runs where id = 1",
}


@stage
async def first(event: Event, events: list[Event]) -> list[str]:
    return [one.id for one in events]


@stage
async def last(first: list[str]) -> int:
    return len(first)


counted = Pipeline(
    "counted",
    [first, last],
    gates={("first", "last"): row_count(at_least=1)},
    on=[Manual(coalesce=Batch(2, 600.0))],
)


@pytest.fixture
async def worked(database: str, tmp_path: Path) -> str:
    """The address of a database in which two runs of two events each have succeeded."""
    binding = Binding("counted", counted.on[0])
    async with daemon(settings(database, tmp_path), counted) as one:
        for event_id in "abcd":
            happened = Event(source="tests", id=event_id, type="t", time=utc_now())
            [receipt] = await one.inbox.accept([Arrival(happened, [offer(binding, happened)])])
            if event_id in "bd":
                assert await reached(one, receipt.outcomes[0].run_id or 0) is RunState.SUCCEEDED
    return database


async def broken(dsn: str) -> set[str]:
    """The promises that do not hold."""
    return {kept.name async for kept in audit(dsn) if kept.breaches}


async def test_the_books_of_a_database_that_worked_are_right(worked: str) -> None:
    looked = [kept async for kept in audit(worked)]
    assert [kept.name for kept in looked] == list(PROMISES)
    assert [kept for kept in looked if kept.breaches] == []


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("name", PROMISES)
async def test_a_wrong_entry_is_found(worked: str, name: str) -> None:
    connection = await asyncpg.connect(worked)
    try:
        await connection.execute(BREACHES[name])
    finally:
        await connection.close()
    assert name in await broken(worked)
