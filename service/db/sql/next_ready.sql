-- Asked after a claim. `ready`: a run without limits was left, for want of places, or another process has its hands on it.
-- `limited`: runs with limits, or a lane, are to be looked at. `next_s`: when the next run will be ready, or lane open;
-- a run without limits that has begun is ready $3 seconds earlier.
with recursive lines as (
    select given.pipeline, head.priority, head.begun
    from unnest($1::text[]) as given (pipeline)
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = given.pipeline and held = '' and ready_at is not null
        order by priority, least(epoch, 1)
        limit 1
    ) head
    union all
    select l.pipeline, following.priority, following.begun
    from lines l
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = l.pipeline and held = '' and ready_at is not null
            and (priority, least(epoch, 1)) > (l.priority, l.begun)
        order by priority, least(epoch, 1)
        limit 1
    ) following
), heads as materialized (
    select early.limited, ready.here is not null as ready, later.ready_at - early.by as ready_at
    from lines l
    cross join lateral (
        select l.pipeline = any ($2::text[]) as limited,
            case when l.pipeline = any ($2::text[]) then 0 else l.begun end * make_interval(secs => $3) as by
    ) early
    left join lateral (
        select true as here from runs
        where pipeline = l.pipeline and held = '' and priority = l.priority and least(epoch, 1) = l.begun
            and ready_at <= now() + early.by
        order by ready_at
        limit 1
    ) ready on true
    left join lateral (
        select ready_at from runs
        where pipeline = l.pipeline and held = '' and priority = l.priority and least(epoch, 1) = l.begun
            and ready_at > now() + early.by
        order by ready_at
        limit 1
    ) later on true
), openings as materialized (
    select open.here is not null as open, later.opens_at
    from unnest($1::text[]) as given (pipeline)
    left join lateral (
        select true as here from lanes where pipeline = given.pipeline and opens_at <= now() limit 1
    ) open on true
    left join lateral (
        select opens_at from lanes where pipeline = given.pipeline and opens_at > now() order by opens_at limit 1
    ) later on true
)
select
    exists (select from heads where ready and not limited) as ready,
    exists (select from heads where ready and limited) or exists (select from openings where open) as limited,
    extract(
        epoch from least((select min(ready_at) from heads), (select min(opens_at) from openings)) - clock_timestamp()
    )::float8 as next_s
