-- The artifacts of the store that these runs refer to, and how often. (Each run's attempts are had before it is asked what
-- they made: else the planner would read through the index of all outputs for them.)
select digest, max(size_bytes) as size_bytes, count(*) as uses from (
    select a.output_digest as digest, a.output_size as size_bytes
    from unnest($1::bigint[]) as g (run_id)
    cross join lateral (
        select output_digest, output_size, output_inline from attempts where run_id = g.run_id offset 0
    ) a
    where a.output_digest is not null and a.output_inline is null
    union all
    select digest, size_bytes from stage_log_files where run_id = any ($1::bigint[])
    union all
    select report, report_size from gate_history where run_id = any ($1::bigint[]) and report is not null
) found
group by 1
