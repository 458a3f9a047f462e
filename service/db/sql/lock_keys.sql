-- Accepts that must see each other's runs of the same keys wait here for each other, always in the same order.
select pg_advisory_xact_lock(lock) from (
    select distinct hashtextextended('key ' || pipeline || ' ' || key, 0) as lock
    from unnest($1::text[], $2::text[]) as g (pipeline, key)
    order by 1
) locks
