-- The artifacts of the store that these runs refer to, and how often.
select digest, max(size_bytes) as size_bytes, count(*) as uses from (
    select output_digest as digest, output_size as size_bytes from attempts
    where run_id = any ($1::bigint[]) and output_digest is not null and output_inline is null
    union all
    select digest, size_bytes from stage_log_files where run_id = any ($1::bigint[])
    union all
    select report, report_size from gate_history where run_id = any ($1::bigint[]) and report is not null
) found
group by 1
