-- The pipelines that have runs: one step in the index for each.
with recursive found as (
    (select pipeline from runs order by pipeline limit 1)
    union all
    select (select r.pipeline from runs r where r.pipeline > f.pipeline order by r.pipeline limit 1)
    from found f where f.pipeline is not null
)
select pipeline from found where pipeline is not null
