select r.id, r.pipeline, r.version, r.trigger, r.state, r.params, r.tags, r.event_key, e.envelope, e.accepted_at,
    r.queued_at, r.started_at, r.finished_at, r.failure, r.cancelled_by, r.abandoned_at, r.abandoned_by,
    r.abandon_reason, r.cause_run, r.cause_stage, r.parent_run, r.due_at, r.late_at, r.gathered
from runs r join events e on e.key = r.event_key
where r.id = $1
