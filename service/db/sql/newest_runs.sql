-- The newest runs with how long each event waited for the first stage, and of micro-batches the event that says how
-- large they are.
select r.id, r.pipeline, r.trigger, r.state, r.queued_at, r.started_at,
    extract(epoch from (select min(a.started_at) from attempts a where a.run_id = r.id) - e.accepted_at)::float8
        as waited_s,
    case when e.type = 'dev.tidemill.kafka.batch' then e.envelope end as batch
from runs r join events e on e.key = r.event_key
order by r.id desc
limit $1
