-- Note which event the run of a replay was made of. Nothing where the replay has started no run.
insert into replays (run_id, of_event)
select r.id, g.of_event
from unnest($1::uuid[], $2::text[], $3::uuid[]) as g (event_key, pipeline, of_event)
join runs r on r.event_key = g.event_key and r.pipeline = g.pipeline
on conflict (run_id) do nothing
