-- The number of the first run that was queued at $1 or later: found by halving, for there is no index of times, and runs
-- are numbered nearly in the order in which they are queued.
with recursive search (lo, hi) as (
    select coalesce((select min(id) from runs), 1), coalesce((select max(id) from runs), 0) + 1
    union all
    select case when probe.queued_at < $1 then probe.id + 1 else s.lo end,
        case when probe.queued_at < $1 then s.hi else (s.lo + s.hi) / 2 end
    from search s
    cross join lateral (
        select id, queued_at from runs where id >= (s.lo + s.hi) / 2 order by id limit 1
    ) probe
    where s.lo < s.hi
)
select max(lo) as place, coalesce((select max(id) from runs), 0) + 1 as behind from search
