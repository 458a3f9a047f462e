select r.id, r.pipeline, r.version, r.trigger, r.state, r.failure, r.tags, r.queued_at, r.started_at, r.finished_at,
    r.event_key, e.source, e.id as event_id, e.type, e.subject, e.envelope
from runs r left join events e on e.key = r.event_key
where r.id = any($1::bigint[])
