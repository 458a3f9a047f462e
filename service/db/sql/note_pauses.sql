-- By which pause ($3) the events ($1) were held back in these pipelines ($2).
update fates f set pause = g.pause
from unnest($1::uuid[], $2::text[], $3::bigint[]) as g (event_key, pipeline, pause)
where f.event_key = g.event_key and f.pipeline = g.pipeline and f.fate = 'paused'
