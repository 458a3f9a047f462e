-- Which of these events have a run in the pipeline, or had one.
select g.event_key
from unnest($1::uuid[]) as g (event_key)
where (select r.id from runs r where r.event_key = g.event_key and r.pipeline || '' = $2 limit 1) is not null
    or (
        select f.fate from fates f
        where f.event_key = g.event_key and f.pipeline = $2 and f.fate in ('ran', 'coalesced')
        limit 1
    ) is not null
