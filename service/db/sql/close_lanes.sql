-- Lanes in which nothing waits any more.
delete from lanes l
using unnest($1::text[], $2::text[]) as g (pipeline, lane)
where l.pipeline = g.pipeline and l.lane = g.lane
    and not exists (
        select from runs r where r.pipeline = l.pipeline and r.held = l.lane and r.ready_at is not null
    )
