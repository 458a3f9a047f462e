-- Events with a rare fate ($3) in some pipeline, the one decided last first; $4 is the event of the page before.
-- Of a pause ($6) only those that it held back. When it was made only says where to stop looking.
with place as (
    select max(f.decided_at) as decided_at, e.key
    from events e join fates f on f.event_key = e.key and f.fate = $3
    where e.seq = $4::bigint
    group by e.key
)
select e.seq, e.key, e.source, e.id, e.type, e.subject, e.occurred_at, e.accepted_at,
    coalesce((
        select json_agg(json_build_object('pipeline', o.pipeline, 'trigger', o.trigger, 'fate', o.fate,
                                          'reason', o.reason, 'run', o.run_id) order by o.pipeline)
        from outcomes o
        where o.event_key = e.key and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ), '[]')::text as outcomes
from fates f join events e on e.key = f.event_key
where f.fate = $3 and f.fate in ('late', 'paused', 'rate-limited', 'dead')
    and ($1::text is null or e.type = $1 or starts_with(e.type, $1 || '.')) and ($2::text is null or e.source = $2)
    and ($4::bigint is null or (f.decided_at, f.event_key) < (select decided_at, key from place))
    and ($6::bigint is null or f.pause = $6)
    and ($6::bigint is null or f.decided_at >= (select paused_at - interval '1 hour' from pauses where id = $6))
    and not exists (
        select from fates other
        where other.event_key = f.event_key and other.fate = f.fate and other.pipeline > f.pipeline
    )
order by f.decided_at desc, f.event_key desc
limit $5
