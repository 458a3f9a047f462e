-- Asked only when all that was ready has been claimed, so the index of ready runs is short. (The concatenation keeps the
-- planner from walking every run of a pipeline instead.)
select extract(epoch from min(ready_at) - clock_timestamp())::float8 from runs
where ready_at is not null and pipeline || '' = any ($1::text[])
