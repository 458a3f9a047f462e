-- The event at which `list_events_by_fate` stopped looking, if it did not come to the end.
with place as (
    select max(f.decided_at) as decided_at, e.key
    from events e join fates f on f.event_key = e.key and f.fate = $1
    where e.seq = $2::bigint
    group by e.key
)
select e.seq
from (
    select f.event_key from fates f
    where f.fate = $1 and f.fate in ('late', 'paused', 'rate-limited', 'dead')
        and ($2::bigint is null or (f.decided_at, f.event_key) < (select decided_at, key from place))
        and ($3::bigint is null or f.decided_at >= (select paused_at - interval '1 hour' from pauses where id = $3))
        and ($4::timestamptz is null or f.decided_at >= $4) and ($5::timestamptz is null or f.decided_at < $5)
    order by f.decided_at desc, f.event_key desc
    offset $6 - 1 limit 1
) f join events e on e.key = f.event_key
