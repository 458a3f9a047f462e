-- What a run that is ready may have to wait for: runs under way of its pipeline and its key, its pool, and when its rate
-- ($2 starts in $3 seconds; null: it has none) lets the next run start.
select
    (select count(*) from runs o where o.owner is not null and o.limited and o.pipeline = r.pipeline) as running,
    (
        select array_agg(o.id order by o.id) from runs o
        where o.owner is not null and o.limited and o.pipeline = r.pipeline and o.key = r.key
    ) as of_key,
    p.name as pool, p.capacity,
    (select count(*) from runs o where o.owner is not null and o.limited and o.pool = r.pool) as taken,
    case when r.started_at is null then (
        select o.started_at + make_interval(secs => $3::float8) from runs o
        where o.pipeline = r.pipeline and o.rate_key = r.rate_key and o.started_at is not null
        order by o.started_at desc
        offset $2::int - 1 limit 1
    ) end as not_before,
    (
        select array[o.id::text, o.state] from runs o
        where r.held = 'order' and o.sequence = r.sequence and o.state <> 'succeeded' and o.abandoned_at is null
        order by o.id limit 1
    ) as behind
from runs r left join pools p on p.name = r.pool
where r.id = $1
