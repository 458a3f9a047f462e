-- Of each sequence the first run that has still to succeed may start; those behind it go on waiting. One that another
-- flush has its hands on is left to that flush, which will come here too.
with heads as (
    select head.id
    from unnest($1::text[]) as g (sequence)
    cross join lateral (
        select id, held from runs
        where sequence = g.sequence and state <> 'succeeded' and abandoned_at is null
        order by id limit 1
    ) head
    where head.held = 'order'
), free as (
    select r.id
    from heads h
    cross join lateral (select id from runs where id = h.id limit 1 for no key update skip locked) r
)
update runs r set held = '', ready_at = case when state = 'queued' then now() else ready_at end
from free f
where r.id = f.id
returning r.id, r.ready_at is not null as ready
