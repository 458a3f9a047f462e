-- A run nobody drives ends here, unless it has begun and must clean up: then it is ready for somebody to end it. The owner
-- of one that runs is asked to stop it.
--
-- The new row is made from what was locked: `r` may be the row before its owner let go of it, which the checks would be
-- held against before Postgres looks at the newer one.
with locked as (
    select id, state, owner, cancel_requested_at is null as first,
        state <> 'running' and not (cleans and epoch > 0) as ends
    from runs where id = $1 for no key update
)
update runs r set
    state = case when l.ends then 'cancelled' else l.state end,
    owner = l.owner,
    ready_at = case when l.ends or l.state = 'running' then null else now() end,
    finished_at = case when l.ends then now() end,
    failure = case when l.ends then convert_to('{"stage":"","reason":"cancelled on request"}', 'utf8') else r.failure end,
    cancel_requested_at = coalesce(r.cancel_requested_at, now()),
    cancelled_by = coalesce(r.cancelled_by, $2)
from locked l
where r.id = l.id and l.state in ('queued', 'waiting', 'running')
returning r.pipeline, r.state, case when l.ends then r.parent_run end as parent_run, l.first
