-- Runs with tags ($6) are looked for among those between $7 and $4, or given ($10): in the index all that have them would be
-- read for each part of a search. (`|| '[]'` keeps it from that.)
select r.id, r.pipeline, r.version, r.trigger, r.state, r.queued_at, r.started_at, r.finished_at, r.ready_at, r.failure,
    r.tags, r.gathering, r.gathered, r.cancel_requested_at, r.event_key, e.source, e.id as event_id, e.type, e.subject, now() as at,
    (select array_agg(g.gate order by g.gate) from gates g where g.run_id = r.id and g.state = 'waiting') as waiting_gates,
    case when r.state = 'waiting' and r.ready_at is null then (
        select array_agg(few.id order by few.id) from (
            select c.id from runs c where c.parent_run = r.id and c.state in ('queued', 'running', 'waiting') limit 6
        ) few
    ) end as children
from runs r join events e on e.key = r.event_key
where r.id > 0 and ($1::text is null or r.pipeline = $1) and ($2::text is null or r.state = $2)
    and ($3::uuid is null or r.event_key = $3) and ($4::bigint is null or r.id < $4)
    and ($6::jsonb is null or (r.tags || '[]') @> $6) and ($10::bigint[] is null or r.id = any ($10))
    and ($7::bigint is null or r.id >= $7) and ($8::text is null or r.trigger = $8)
    and ($9::text is null or strpos(lower(concat_ws(' ', e.subject, e.id, r.trigger, r.tags)), lower($9)) > 0)
order by r.id desc
limit $5
