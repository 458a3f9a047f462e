insert into stage_log_files (run_id, stage, item, attempt, digest, lines, size_bytes, dropped_lines)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (run_id, stage, item, attempt) do nothing
returning seq
