-- Flushes that touch the same sequences wait here for each other, always in the same order, until the commit.
select pg_advisory_xact_lock(lock) from (
    select distinct hashtextextended('sequence ' || sequence, 0) as lock
    from unnest($1::text[]) as g (sequence)
    order by 1
) locks
