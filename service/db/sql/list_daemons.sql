-- The processes that are alive, and the latest of those that were within the hour: where one dies again and again as it
-- starts, these are many.
select * from (
    (
        select id, host, pid, roles, version, lease_s, state, started_at, renewed_at from daemons
        where state = 'alive' order by id limit 1000
    )
    union all
    (
        select id, host, pid, roles, version, lease_s, state, started_at, renewed_at from daemons
        where state <> 'alive' and renewed_at > now() - interval '1 hour' order by renewed_at desc limit 100
    )
) found
order by id
