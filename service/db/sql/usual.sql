-- What most flushes are, with the lease, the log and its notices: new events with the runs they start, attempts as they
-- start and end, and runs let go. It is a transaction of its own. Where anything is not as usual, it fails by the division
-- at its end and has written nothing: the statements for each kind (`accept.sql`, `put_attempts.sql`, `move_runs.sql`,
-- `move_positions.sql`) know which row it is, and what has to follow.
with lease as (
    update daemons set renewed_at = now() where id = $1 and state = 'alive'
    returning (select version from pause_changes) as pauses
), given_positions as (
    select * from unnest($6::text[], $7::text[], $8::text[], $9::text[]) as g (scope, key, value, expect)
), moved_positions as (
    update positions p set value = g.value, moved_at = now()
    from given_positions g
    where p.scope = any (array[g.scope]) and p.key = any (array[g.key]) and p.value = g.expect
    returning 1
), made_positions as (
    insert into positions (scope, key, value) select scope, key, value from given_positions where expect = ''
    on conflict do nothing
    returning 1
), new_events as (
    insert into events (key, source, id, type, subject, occurred_at, envelope)
    select key, source, id, type, subject, occurred_at, envelope from unnest($3::given_event[])
    on conflict (key) do nothing
    returning 1
), new_runs as (
    insert into runs (
        event_key, pipeline, version, trigger, params, priority, owner, tags, due_at, queue_deadline, cleans, cause_run,
        cause_stage, depth, limited, key, rate_key, pool, state, epoch, ready_at, started_at, timed_from
    )
    select event_key, pipeline, version, trigger, params, priority, owner, tags::jsonb, due_at,
        now() + make_interval(secs => queue_timeout_s),
        cleans, cause_run, cause_stage, depth, limited, key, rate_key, pool,
        case when owner is null then 'queued' else 'running' end,
        case when owner is null then 0 else 1 end,
        case when owner is null then now() end,
        case when owner is not null then now() end,
        case when owner is not null then now() end
    from unnest($4::given_run[]) with ordinality as g (
        event_key, pipeline, version, trigger, params, priority, owner, tags, due_at, queue_timeout_s, cleans, cause_run,
        cause_stage, depth, limited, key, rate_key, pool, place
    )
    order by place
    on conflict (event_key, pipeline) do nothing
    returning id, pipeline, state, key, pool
), new_fates as (
    insert into fates (event_key, pipeline, trigger, fate, reason)
    select event_key, pipeline, trigger, fate, reason from unnest($5::given_fate[])
    on conflict (event_key, pipeline) do nothing
    returning 1
), fenced as materialized (
    select g.*, mine.cancel from unnest($10::given_attempt[]) g cross join lateral (
        select cancel_requested_at is not null as cancel from runs r
        where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1
    ) mine
), put as (
    insert into attempts (
        run_id, epoch, stage, item, attempt, state, transient, key, reusable, output_digest, output_codec, output_size,
        output_inline, metrics, failure, reused_run, child_run, reason, version, made_at, started_at, finished_at, retry_at
    )
    select run_id, epoch, stage, item, attempt, state, transient, key, reusable, output_digest, output_codec, output_size,
        output_inline, metrics, failure, reused_run, child_run, reason, version, made_at,
        clock_timestamp() - make_interval(secs => started_ago_s),
        clock_timestamp() - make_interval(secs => finished_ago_s),
        clock_timestamp() + make_interval(secs => retry_in_s)
    from fenced
    on conflict (run_id, stage, item, attempt) do update set
        state = excluded.state, transient = excluded.transient, key = excluded.key, reusable = excluded.reusable,
        output_digest = excluded.output_digest, output_codec = excluded.output_codec,
        output_size = excluded.output_size, output_inline = excluded.output_inline, metrics = excluded.metrics,
        failure = excluded.failure, reused_run = excluded.reused_run, child_run = excluded.child_run,
        reason = excluded.reason, made_at = excluded.made_at, finished_at = excluded.finished_at,
        retry_at = excluded.retry_at
    where attempts.epoch = excluded.epoch
    returning 1
), mine as materialized (
    select r.id, m.state, m.ready_in_s, m.failure
    from unnest($12::given_move[]) m
    cross join lateral (
        select id from runs where id = m.run_id and epoch = m.epoch and state = 'running' limit 1
        for no key update
    ) r
), moved as (
    update runs r set
        state = m.state,
        owner = null,
        failure = m.failure,
        ready_at = case when m.state = 'waiting' then clock_timestamp() + make_interval(secs => m.ready_in_s) end,
        finished_at = case when m.state <> 'waiting' then now() end
    from mine m
    where r.id = m.id and not r.poked and r.cancel_requested_at is null
    returning r.id, r.pipeline, r.state, r.key, r.pool, r.limited, coalesce(r.ready_at <= now(), false) as ready,
        r.finished_at is not null and r.parent_run is not null or r.state = 'succeeded' and r.sequence is not null as tied
), entries as (
    select 1 as place, $11::bytea as entry where $11 <> ''
    union all
    select place, convert_to(jsonb_strip_nulls(jsonb_build_object(
        'run', id, 'pipeline', pipeline, 'move', state, 'key', key, 'pool', pool
    ))::text, 'UTF8')
    from (
        select 0 as place, id, pipeline, state, key, pool from new_runs
        union all
        select 2, id, pipeline, state, key, pool from moved
    ) moves
), logged as (
    insert into run_log (daemon, entries)
    select $1, '\x5b' || string_agg(entry, '\x2c' order by place) || '\x5d' from entries
    having count(*) > 0
    returning seq
)
select
    (select array_agg(id order by id) from new_runs) as runs,
    1 / (
        coalesce((select pauses from lease) = $2, false)
        and (select count(*) from moved_positions) + (select count(*) from made_positions) = cardinality($6)
        and (select count(*) from new_events) = cardinality($3)
        and (select count(*) from new_runs) = cardinality($4)
        and (select count(*) from new_fates) = cardinality($5)
        and (select count(*) from put) = cardinality($10) and not exists (select from fenced where cancel)
        and (select count(*) from moved) = cardinality($12) and not exists (select from moved where tied)
    )::int as as_usual,
    (select pg_notify($13, seq::text) from logged) as told,
    (
        select pg_notify($14, '')
        where exists (select from new_runs where state = 'queued') or exists (select from moved where ready or limited)
    ) as woke,
    -- An event that starts no run is in no log.
    (select pg_notify($14, $15) where $16) as changed
