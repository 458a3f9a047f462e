-- The place of the first event that was accepted at $1 or later: found by halving, for there is no index of times, and
-- events are numbered nearly in the order in which they are accepted (a transaction's clock stands still while it lasts).
with recursive search (lo, hi) as (
    select coalesce((select min(seq) from events), 1), coalesce((select max(seq) from events), 0) + 1
    union all
    select case when probe.accepted_at < $1 then probe.seq + 1 else s.lo end,
        case when probe.accepted_at < $1 then s.hi else (s.lo + s.hi) / 2 end
    from search s
    cross join lateral (
        select seq, accepted_at from events where seq >= (s.lo + s.hi) / 2 order by seq limit 1
    ) probe
    where s.lo < s.hi
)
select max(lo) as seq, coalesce((select max(seq) from events), 0) + 1 as behind from search
