-- Each event has one fate in each pipeline: a run of its own, or what is told of it instead.
select format('event %s has a run (%s) and a fate (%s) in %s', f.event_key, r.id, f.fate, f.pipeline) as what
from fates f join runs r on r.event_key = f.event_key and r.pipeline = f.pipeline
where f.fate <> 'ran' or f.run_id <> r.id
limit $1
