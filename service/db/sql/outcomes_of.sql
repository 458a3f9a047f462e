select o.event_key, o.pipeline, o.trigger, o.fate, o.reason, o.run_id
from unnest($1::uuid[]) as g (key) join outcomes o on o.event_key = g.key
where not o.marked or (select r.id from runs r where r.id = o.run_id limit 1) is null
