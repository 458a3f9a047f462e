-- What the process that starts says of its pools holds for all. The answer is what was said of them before.
with given as (
    select * from unnest($1::text[], $2::int[]) as g (name, capacity)
), before as materialized (
    select p.name, p.capacity from pools p join given g on g.name = p.name
), put as (
    insert into pools (name, capacity) select name, capacity from given
    on conflict (name) do update set capacity = excluded.capacity, set_at = now()
    where pools.capacity <> excluded.capacity
    returning name
), woken as (
    select pg_notify($3, '') from put limit 1
)
select b.name, b.capacity, (select count(*) from woken) as woken from before b
