-- The owner lets go of runs: finished, or waiting. A run that was poked or asked to stop meanwhile is ready at once.
update runs r set
    state = g.state,
    owner = null,
    poked = false,
    failure = g.failure,
    ready_at = case
        when g.state <> 'waiting' then null
        when r.poked or r.cancel_requested_at is not null then now()
        else clock_timestamp() + make_interval(secs => g.ready_in_s)
    end,
    finished_at = case when g.state <> 'waiting' then now() end
from unnest($1::bigint[], $2::int[], $3::text[], $4::float8[], $5::bytea[]) as g (run_id, epoch, state, ready_in_s, failure)
where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running'
returning r.id, r.pipeline, coalesce(r.ready_at <= now(), false) as ready
