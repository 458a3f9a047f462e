-- Failed runs whose review nobody has closed, newest first. One in shadow is a rehearsal: nobody has to mend it.
select r.id, r.pipeline, r.version, r.trigger, r.state, r.params, r.tags, r.event_key, e.envelope, e.accepted_at,
    r.queued_at, r.started_at, r.finished_at, r.failure, r.cancelled_by, r.abandoned_at, r.abandoned_by,
    r.abandon_reason, r.cause_run, r.cause_stage, r.parent_run, r.due_at, r.late_at
from runs r join events e on e.key = r.event_key
where r.state = 'failed' and r.abandoned_at is null and r.trigger <> 'replay:shadow'
    and ($1::text is null or r.pipeline = $1) and ($2::bigint is null or r.id < $2)
order by r.id desc
limit $3
