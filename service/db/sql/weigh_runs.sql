-- What removing these runs would take away.
select
    (select count(*) from attempts where run_id = any ($1::bigint[])) as attempts,
    (select count(*) from stage_logs where run_id = any ($1::bigint[]))
    + (select coalesce(sum(lines), 0) from stage_log_files where run_id = any ($1::bigint[])) as log_lines
