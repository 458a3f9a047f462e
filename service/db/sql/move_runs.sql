-- The owner lets go of runs: finished, or waiting. A run that was poked or asked to stop meanwhile is ready at once.
-- Where it was `limited`, others may have waited for it.
with mine as materialized (
    select r.id, g.state, g.ready_in_s, g.failure
    from unnest($1::given_move[]) g
    cross join lateral (
        select id from runs where id = g.run_id and epoch = g.epoch and state = 'running' limit 1
        for no key update
    ) r
)
update runs r set
    state = m.state,
    owner = null,
    poked = false,
    failure = m.failure,
    ready_at = case
        when m.state <> 'waiting' then null
        when r.poked or r.cancel_requested_at is not null then now()
        else clock_timestamp() + make_interval(secs => m.ready_in_s)
    end,
    finished_at = case when m.state <> 'waiting' then now() end
from mine m
where r.id = m.id
returning r.id, r.pipeline, coalesce(r.ready_at <= now(), false) as ready, r.limited, r.key, r.pool,
    case when r.finished_at is not null then r.parent_run end as parent_run,
    case when r.state = 'succeeded' then r.sequence end as sequence
