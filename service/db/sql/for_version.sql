-- A run that was just started is for the kept code of its version: it is in nobody's line.
update runs r set held = 'version'
from unnest($1::uuid[], $2::text[]) as g (event_key, pipeline)
where r.event_key = g.event_key and r.pipeline = g.pipeline and r.epoch = 0
