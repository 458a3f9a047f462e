-- What became of runs that gather, in the same transaction that accepted the events. Who has to start in time has until
-- so long after the run is due.
update runs r set
    gathering = g.gathering, gathered = g.gathered, params = coalesce(g.params, r.params), ready_at = g.due_at,
    queue_deadline = r.queue_deadline + (g.due_at - r.ready_at)
from unnest($1::bigint[], $2::text[], $3::int[], $4::timestamptz[], $5::bytea[])
    as g (id, gathering, gathered, due_at, params)
where r.id = g.id
