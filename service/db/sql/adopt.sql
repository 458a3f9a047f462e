-- Processes whose lease has lapsed lose their runs, which are ready for anyone at once, before those accepted later. What
-- counts against a run is not that its process died, but that something was begun for it when it did; the first time
-- nobody knows.
with lapsed as (
    update daemons set state = 'lapsed'
    where state = 'alive' and id <> $1 and renewed_at < now() - make_interval(secs => lease_s)
    returning id
)
update runs r set
    state = 'queued', owner = null, ready_at = r.queued_at,
    adoptions = case
        when exists (
            select from attempts a
            where a.run_id = r.id and a.epoch = r.epoch and a.state in ('succeeded', 'reused')
        ) then 1
        when r.blamed or r.adoptions = 0 then r.adoptions + 1
        else r.adoptions
    end
from lapsed l
where r.owner = l.id
returning r.id, r.pipeline, r.key, r.pool, l.id as daemon
