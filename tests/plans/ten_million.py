"""A history of 20,000 runs that the planner takes for one of ten million."""

from __future__ import annotations

import asyncpg

RUNS = 20_000
TIMES = 500
SENT = """
insert into events (key, source, id, type, occurred_at, envelope)
select md5(n::text)::uuid, 's', n::text, 't', now(), '{}' from generate_series(1, $1::int) n
"""
RAN = """
insert into runs (pipeline, version, event_key, trigger, params, tags, state, started_at, finished_at, failure)
select case when n = 77 then 'rare' else 'p' || n % 20 end, 'v', md5(n::text)::uuid, 't', '{}',
    case when n % 500 = 0 then '["rare"]'::jsonb else '[]' end,
    case when n % 1000 = 0 then 'failed' else 'succeeded' end, now(), now() - interval '60 days', '{}'
from generate_series(1, $1::int) n
"""
TRIED = """
insert into attempts (run_id, stage, attempt, epoch, state, output_digest, output_codec, output_size, started_at,
                      finished_at)
select r.id, s, 1, 1, 'succeeded', md5(r.id::text || s) || md5(s || r.id::text), 'json', 9000, now(), now()
from runs r, unnest(array['a', 'b']) s
"""
CHECKED = """
insert into gates (run_id, gate, source, target, state, reason, evidence, subject, decided_by)
select id, 'a-b', 'a', 'b', 'passed', '', '{}', '', 'test' from runs
"""
LOGGED = """
insert into run_log (at, daemon, entries) select now() - interval '60 days', 1, '[]' from runs
"""
COSTED = """
insert into attempt_costs (run_id, stage, item, attempt, cpu_s, memory_bytes)
select run_id, stage, item, attempt, 1, 1 from attempts
"""
FATED = """
insert into fates (event_key, pipeline, trigger, fate, reason, run_id)
select md5(n::text)::uuid, 'q', 't', f.fate, '', case when f.fate = 'coalesced' then n end
from generate_series(1, $1::int) n
cross join lateral (
    select case when n % 500 = 0 then 'late' when n % 3 = 0 then 'coalesced' else 'ignored' end as fate
) f
"""
# The planner counts rows by how many there are on a page, and asks the files how many pages there are. Pages are then
# fewer than ten million rows have, which makes walking them look cheaper than it is: a plan that walks nothing here
# walks nothing there either.
SCALED = """
update pg_class c set reltuples = c.reltuples * $1::real
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i') and c.reltuples > 1000
"""
TABLES = """
select c.oid::regclass::text as name from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
"""


async def take_for_ten_million(connection: asyncpg.Connection) -> None:
    """Call it once the rows are there and before anything is asked. Nothing puts the statistics right again."""
    for table in await connection.fetch(TABLES):
        await connection.execute(f"alter table {table['name']} set (autovacuum_enabled = false)")
    await connection.execute("analyze")
    await connection.execute(SCALED, float(TIMES))


async def make_history(dsn: str) -> None:
    """Fill a migrated database."""
    connection = await asyncpg.connect(dsn)
    for statement in (SENT, RAN, FATED):
        await connection.execute(statement, RUNS)
    await connection.execute(TRIED)
    await connection.execute(CHECKED)
    await connection.execute(LOGGED)
    await connection.execute(COSTED)
    await take_for_ten_million(connection)
    await connection.close()
