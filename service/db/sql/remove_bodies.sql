-- What names the bodies that hooks took, once the events that they became are gone: such a body is new again.
with old as materialized (
    select key, value, moved_at from positions where scope = $1 and key > $2 order by key limit $4
), gone as (
    delete from positions p using old o
    where p.scope = $1 and p.key = o.key and o.moved_at < now() - make_interval(secs => $3)
        and not exists (select from events e where e.key = o.value::uuid)
    returning p.key
)
select (select max(key) from old) as last, (select count(*) from gone) as bodies
