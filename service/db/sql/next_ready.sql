select extract(epoch from min(ready_at) - clock_timestamp())::float8 from runs
where ready_at is not null and pipeline = any ($1::text[])
