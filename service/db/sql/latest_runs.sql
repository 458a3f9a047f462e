-- The newest $2 runs of each of these pipelines.
select g.pipeline, r.id, r.state, r.queued_at, r.started_at, r.finished_at,
    extract(epoch from r.finished_at - r.started_at)::float8 as took_s
from unnest($1::text[]) as g (pipeline)
cross join lateral (
    select id, state, queued_at, started_at, finished_at from runs
    where pipeline = g.pipeline order by id desc limit $2
) r
order by g.pipeline, r.id desc
