-- What the last failed attempt at each of these stages or items raised, the beginning of it.
select g.run_id, told.failure ->> 'type' as type, left(told.failure ->> 'message', 2000) as message
from unnest($1::bigint[], $2::text[], $3::int[]) as g (run_id, stage, item)
cross join lateral (
    select convert_from(a.failure, 'UTF8')::json as failure from attempts a
    where a.run_id = g.run_id and a.stage = g.stage and a.item = g.item and a.failure is not null
    order by a.attempt desc limit 1
) told
