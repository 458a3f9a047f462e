-- Events, the runs they start and the fates of those they do not start: each once, whoever else tells of them. Run ids
-- follow the order in which the runs were given.
with given_events as (
    select * from unnest($1::given_event[])
), new_events as (
    insert into events (key, source, id, type, subject, occurred_at, envelope)
    select key, source, id, type, subject, occurred_at, envelope from given_events
    on conflict (key) do nothing
    returning key
), given_runs as (
    select * from unnest($2::given_run[]) with ordinality as g (
        event_key, pipeline, version, trigger, params, priority, owner, tags, due_at, queue_timeout_s, cleans, cause_run,
        cause_stage, depth, limited, key, rate_key, pool, place
    )
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
    from given_runs g
    where not exists (
        select from fates f
        where f.event_key = g.event_key and f.pipeline = g.pipeline
            and (f.fate <> 'ignored' or f.reason like 'dropped: %')
    )
    order by place
    on conflict (event_key, pipeline) do nothing
    returning id, event_key, pipeline
), overruled as (
    delete from fates f using new_runs n where f.event_key = n.event_key and f.pipeline = n.pipeline
), given_fates as (
    select * from unnest($3::given_fate[])
), new_fates as (
    insert into fates (event_key, pipeline, trigger, fate, reason)
    select event_key, pipeline, trigger, fate, reason from given_fates g
    where not exists (select from runs r where r.event_key = g.event_key and r.pipeline = g.pipeline)
    on conflict (event_key, pipeline) do nothing
    returning event_key, pipeline
)
select 'event' as what, key, '' as pipeline, null::bigint as run_id from new_events
union all
select 'run', event_key, pipeline, id from new_runs
union all
select 'fate', event_key, pipeline, null from new_fates
