-- Processes whose lease has lapsed lose their runs, which are ready for anyone at once.
with lapsed as (
    update daemons set state = 'lapsed'
    where state = 'alive' and id <> $1 and renewed_at < now() - make_interval(secs => lease_s)
    returning id
)
update runs r set
    state = 'queued', owner = null, ready_at = now(),
    adoptions = case
        when exists (
            select from attempts a
            where a.run_id = r.id and a.epoch = r.epoch and a.state in ('succeeded', 'reused')
        ) then 1
        else r.adoptions + 1
    end
from lapsed l
where r.owner = l.id
returning r.id, r.pipeline, l.id as daemon
