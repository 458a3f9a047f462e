-- Events with a rare fate ($3) in some pipeline, the one decided last first; $4 is the event of the page before.
-- Decided from $7 on and before $8, in the pipeline $9, by the trigger $10; $11 is part of their name. Of a pause ($6)
-- only those that it held back; when it was made only says where to stop looking. No index helps with the rest: of $12
-- fates those that are asked for are told, and `look_on_by_fate` tells where that ended.
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
from (
    select * from fates f
    where f.fate = $3 and f.fate in ('late', 'paused', 'rate-limited', 'dead')
        and ($4::bigint is null or (f.decided_at, f.event_key) < (select decided_at, key from place))
        and ($6::bigint is null or f.decided_at >= (select paused_at - interval '1 hour' from pauses where id = $6))
        and ($7::timestamptz is null or f.decided_at >= $7) and ($8::timestamptz is null or f.decided_at < $8)
    order by f.decided_at desc, f.event_key desc
    limit $12
) f join events e on e.key = f.event_key
where ($1::text is null or e.type = $1 or starts_with(e.type, $1 || '.')) and ($2::text is null or e.source = $2)
    and ($6::bigint is null or f.pause = $6)
    and ($9::text is null or f.pipeline = $9) and ($10::text is null or f.trigger = $10)
    and ($11::text is null or strpos(lower(concat_ws(' ', e.subject, e.id, e.source, e.type)), lower($11)) > 0)
    and not exists (
        select from fates other
        where other.event_key = f.event_key and other.fate = f.fate and other.pipeline > f.pipeline
            and ($9::text is null or other.pipeline = $9) and ($10::text is null or other.trigger = $10)
    )
order by f.decided_at desc, f.event_key desc
limit $5
