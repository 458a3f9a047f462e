-- Gates that wait for somebody, behind ($1, $2) in their order: of the newest run first, then by name. Of the pipeline $4,
-- called $5.
select g.run_id, g.gate, g.source, g.target, g.reason, g.evidence, g.subject, g.decided_at as asked_at, g.expires_at,
    r.pipeline, r.version, r.trigger, r.event_key, e.source as event_source, e.id as event_id, e.type,
    e.subject as event_subject
from gates g join runs r on r.id = g.run_id join events e on e.key = r.event_key
where g.state = 'waiting' and r.state in ('queued', 'running', 'waiting')
    and ($1::bigint is null or g.run_id < $1 or (g.run_id = $1 and g.gate > $2::text))
    and ($4::text is null or r.pipeline = $4) and ($5::text is null or $5 in (g.gate, g.target))
order by g.run_id desc, g.gate
limit $3
