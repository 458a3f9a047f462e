-- Triggers whose runs follow each other, where some wait behind runs that only a person can make go on.
select pipeline, trigger, array_agg(id order by id) as runs
from (
    select pipeline, trigger, id from runs
    where sequence is not null and state in ('failed', 'cancelled') and abandoned_at is null
    order by pipeline, trigger, id limit 1000
) stopping
group by pipeline, trigger
