-- Which events have led to something in a pipeline that a repeat does not change. (The concatenation keeps the planner
-- from walking every run of the pipeline.)
select g.event_key, g.pipeline
from unnest($1::uuid[], $2::text[]) as g (event_key, pipeline)
cross join lateral (
    select from runs where event_key = g.event_key and pipeline || '' = g.pipeline
    union all
    select from fates
    where event_key = g.event_key and pipeline = g.pipeline and (fate <> 'ignored' or reason like 'dropped: %')
    limit 1
) decided
