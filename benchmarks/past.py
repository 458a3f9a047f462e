"""A database with a past: as many finished runs of six stages as are wanted, made by the server itself."""

from __future__ import annotations

import logging

import asyncpg

logger = logging.getLogger("benchmarks.past")

CHUNK = 250_000
TABLES = ("events", "runs", "attempts")

# Run n is of event n. They are spread evenly over the 90 days before the last hour; $3 is how many there will be.
EVENTS = """
insert into events (key, seq, source, id, type, subject, occurred_at, accepted_at, envelope) overriding system value
select md5(n::text)::uuid, n, 'benchmarks', 'past ' || n, 'benchmark', null, at, at, convert_to(json_build_object(
    'specversion', '1.0', 'source', 'benchmarks', 'id', 'past ' || n, 'type', 'benchmark', 'time', at,
    'datacontenttype', 'application/json', 'data', json_build_object('path', 'landing/' || md5('path ' || n), 'rows', n)
)::text, 'UTF8')
from generate_series($1::bigint, $2::bigint) n
cross join lateral (select now() - interval '1 hour' - interval '90 days' * ($3::bigint - n) / $3 as at) times
"""
RUNS = """
insert into runs (
    id, pipeline, version, event_key, trigger, params, state, epoch, queued_at, started_at, timed_from, finished_at
) overriding system value
select n, 'six', md5('six'), md5(n::text)::uuid, 'benchmark', '{}', 'succeeded', 1, at, at, at, at + interval '1 second'
from generate_series($1::bigint, $2::bigint) n
cross join lateral (select now() - interval '1 hour' - interval '90 days' * ($3::bigint - n) / $3 as at) times
"""
ATTEMPTS = """
insert into attempts (
    run_id, stage, attempt, epoch, state, version, output_digest, output_codec, output_size, output_inline,
    started_at, finished_at
)
select n, stage, 1, 1, 'succeeded', md5(stage), md5(stage) || md5('output'), 'json', 4, 'null', at, at
from generate_series($1::bigint, $2::bigint) n
cross join unnest(array['one', 'two', 'three', 'four', 'five', 'six_']) stage
cross join lateral (select now() - interval '1 hour' - interval '90 days' * ($3::bigint - n) / $3 as at) times
"""
NUMBERED = (("events", "seq"), ("runs", "id"))

KEPT = """
select format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as again,
    format('alter table %s drop constraint %I', conrelid::regclass, conname) as away
from pg_constraint where conrelid = any ($1::text[]::regclass[]) and contype in ('p', 'u')
union all
select pg_get_indexdef(indexrelid), format('drop index %s', indexrelid::regclass)
from pg_index where indrelid = any ($1::text[]::regclass[])
    and not exists (select from pg_constraint where conindid = indexrelid)
"""


async def make_past(dsn: str, runs: int) -> None:
    """Fill an empty, migrated database; its statistics and visibility are then those of one long in use."""
    connection = await asyncpg.connect(dsn, server_settings={"maintenance_work_mem": "512MB"})
    try:
        indexes = await connection.fetch(KEPT, TABLES)
        for index in indexes:
            await connection.execute(index["away"])
        for first in range(1, runs + 1, CHUNK):
            last = min(first + CHUNK - 1, runs)
            for statement in (EVENTS, RUNS, ATTEMPTS):
                await connection.execute(statement, first, last, runs)
            logger.info("%s of %s runs", last, runs)
        # Sorting once is quicker than finding each row its place.
        for index in indexes:
            await connection.execute(index["again"])
        for table, column in NUMBERED:
            await connection.fetchval("select setval(pg_get_serial_sequence($1, $2), $3)", table, column, runs + 1)
        await connection.execute("vacuum (analyze)")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
