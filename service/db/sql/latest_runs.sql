-- The newest $2 runs of each of these pipelines. (Equality would let all runs be gone through by id, where one pipeline
-- has nearly all of them and another few.)
select g.pipeline, r.id, r.state, r.queued_at, r.started_at, r.finished_at,
    extract(epoch from r.finished_at - r.started_at)::float8 as took_s
from unnest($1::text[]) as g (pipeline)
cross join lateral (
    select id, state, queued_at, started_at, finished_at from runs
    where pipeline between g.pipeline and g.pipeline order by pipeline desc, id desc limit $2
) r
order by g.pipeline, r.id desc
