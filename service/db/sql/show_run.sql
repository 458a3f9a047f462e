select r.id, r.pipeline, r.version, r.trigger, r.state, r.epoch, r.owner, r.adoptions, r.params, r.tags, r.queued_at,
    r.started_at, r.finished_at, r.ready_at, r.failure, r.gathering, r.gathered, r.cancel_requested_at, r.cancelled_by, r.cause_run, r.cause_stage,
    r.due_at, r.late_at, r.abandoned_at, r.abandoned_by, r.abandon_reason,
    r.event_key, e.source, e.id as event_id, e.type, e.subject, e.occurred_at, e.accepted_at, e.envelope, now() as at,
    p.definition, p.code is not null as code_kept,
    (select array_agg(g.gate order by g.gate) from gates g where g.run_id = r.id and g.state = 'waiting') as waiting_gates
from runs r
join events e on e.key = r.event_key
left join pipelines p on p.name = r.pipeline and p.version = r.version
where r.id = $1
