-- What runs that are ready may have to wait for: runs under way of their pipeline and key, their pool, and when their rate
-- (`runs` starts in `per_s` seconds; null: it has none) lets the next run start.
select r.id,
    (select count(*) from runs o where o.owner is not null and o.limited and o.pipeline = r.pipeline) as running,
    (
        select array_agg(o.id order by o.id) from runs o
        where o.owner is not null and o.limited and o.pipeline = r.pipeline and o.key = r.key
    ) as of_key,
    p.name as pool, p.capacity,
    (select count(*) from runs o where o.owner is not null and o.limited and o.pool = r.pool) as taken,
    case when r.started_at is null then (
        select o.started_at + make_interval(secs => g.per_s) from runs o
        where o.pipeline = r.pipeline and o.rate_key = r.rate_key and o.started_at is not null
        order by o.started_at desc
        offset g.runs - 1 limit 1
    ) end as not_before,
    (
        select array[o.id::text, o.state] from runs o
        where r.held = 'order' and o.sequence = r.sequence and o.state <> 'succeeded' and o.abandoned_at is null
        order by o.id limit 1
    ) as behind
from unnest($1::bigint[], $2::int[], $3::float8[]) as g (id, runs, per_s)
join runs r on r.id = g.id
left join pools p on p.name = r.pool
