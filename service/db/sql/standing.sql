-- What there is to reckon with, a row for each number: runs under way of what is limited, runs of this process, pools, and
-- the lanes of pipelines that are open: all where runs wait for one of their key, and up to $3 whose time has come.
select 'at' as what, null as pipeline, null as name, null as pool, null::int as number, clock_timestamp() as at
union all
select 'running', pipeline, key, pool, count(*), null from runs where owner is not null and limited
group by pipeline, key, pool
union all
select 'here', pipeline, null, null, count(*), null from runs where owner = $1 group by pipeline
union all
select 'pool', null, null, name, capacity, null from pools
union all
select 'lane', given.pipeline, lane.lane, null, null, null
from unnest($2::text[]) as given (pipeline)
cross join lateral (
    select lane from lanes where pipeline = given.pipeline and opens_at = '-infinity'
    union all (
        select lane from lanes where pipeline = given.pipeline and opens_at > '-infinity' and opens_at <= now()
        order by opens_at limit $3
    )
) lane
