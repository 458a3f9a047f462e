-- The runs that were made of an event again, oldest first.
select r.id as run, r.pipeline, r.version, r.trigger, r.state
from replays p join runs r on r.id = p.run_id
where p.of_event = $1
order by r.id
limit 100
