-- Lanes in which nothing waits any more.
delete from lanes l
using unnest($1::text[], $2::text[]) as g (pipeline, lane)
where l.pipeline = any (array[g.pipeline]) and l.lane = any (array[g.lane])
    and (
        select id from runs r where r.pipeline = l.pipeline and r.held = l.lane and r.ready_at is not null limit 1
    ) is null
