-- Of the $3 events after $1 how many are older than $2 seconds and would be in no run, were the runs $4 gone; and up to which
-- one that was, null where none is so old.
with looked_at as materialized (
    select key, seq, accepted_at from events where seq > $1 order by seq limit $3
), old as materialized (
    select key from looked_at where accepted_at < now() - make_interval(secs => $2)
)
select (select max(seq) from looked_at where exists (select from old)) as last, (
    select count(*) from old o
    where not exists (select from runs r where r.event_key = o.key and r.id <> all ($4::bigint[]))
        and not exists (
            select from fates f join runs r on r.id = f.run_id where f.event_key = o.key and r.id <> all ($4::bigint[])
        )
) as events
