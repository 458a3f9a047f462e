-- A run nobody drives ends here; the owner of one that runs is asked to stop it.
with locked as (
    select id, state, owner from runs where id = $1 for no key update
)
update runs r set
    state = case when r.state = 'running' then r.state else 'cancelled' end,
    ready_at = case when r.state = 'running' then r.ready_at end,
    finished_at = case when r.state = 'running' then r.finished_at else now() end,
    cancel_requested_at = coalesce(r.cancel_requested_at, now()),
    cancelled_by = coalesce(r.cancelled_by, $2)
from locked l
where r.id = l.id and r.state in ('queued', 'waiting', 'running')
returning r.pipeline, r.state
