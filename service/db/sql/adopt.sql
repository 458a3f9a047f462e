-- Processes whose lease has lapsed lose their runs, which are ready for anyone at once, before those accepted later. What
-- counts against a run is not that its process died, but that something was begun for it when it did; the first time
-- nobody knows.
-- One that stands still in the middle of a transaction holds its own row: nobody waits for it (`end_standing.sql`).
with silent as (
    select id from daemons
    where state = 'alive' and id <> $1 and renewed_at < now() - make_interval(secs => lease_s)
    for no key update skip locked
), lapsed as (
    update daemons d set state = 'lapsed' from silent s where d.id = s.id
    returning d.id
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
