-- Runs that were found to have to wait go into their lanes; a lane opens $5 seconds after $6, or (null) is always looked
-- into. What another process has its hands on stays where it is.
with waiting as (
    update runs r set held = w.lane
    from (
        select l.id, g.lane
        from unnest($1::bigint[], $2::text[]) as g (id, lane)
        cross join lateral (
            select id from runs where id = g.id and coalesce(ready_at <= $6::timestamptz, false) limit 1
            for no key update skip locked
        ) l
    ) w
    where r.id = w.id
)
insert into lanes (pipeline, lane, opens_at)
select pipeline, lane, coalesce($6::timestamptz + make_interval(secs => opens_in_s), '-infinity')
from unnest($3::text[], $4::text[], $5::float8[]) as g (pipeline, lane, opens_in_s)
on conflict (pipeline, lane) do update set opens_at = excluded.opens_at
where lanes.opens_at <> excluded.opens_at
