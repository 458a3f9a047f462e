-- The first runs that are ready, of each line of the given pipelines and lanes: as many as are wanted from each line.
with recursive lines as (
    select given.pipeline, given.lane, given.wanted, head.priority, head.begun
    from unnest($1::text[], $2::text[], $3::int[]) as given (pipeline, lane, wanted)
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = given.pipeline and held = given.lane and ready_at is not null
        order by priority, least(epoch, 1)
        limit 1
    ) head
    union all
    select l.pipeline, l.lane, l.wanted, following.priority, following.begun
    from lines l
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = l.pipeline and held = l.lane and ready_at is not null
            and (priority, least(epoch, 1)) > (l.priority, l.begun)
        order by priority, least(epoch, 1)
        limit 1
    ) following
)
select r.id, l.pipeline, l.lane, l.priority, l.begun = 1 as begun, r.key, r.rate_key,
    extract(epoch from $4 - r.ready_at)::float8 as waited_s
from lines l
cross join lateral (
    select id, ready_at, key, rate_key from runs
    where pipeline = l.pipeline and held = l.lane and priority = l.priority and least(epoch, 1) = l.begun
        and ready_at <= $4::timestamptz
    order by ready_at, id
    limit l.wanted
) r
