select max(line) from stage_logs where run_id = $1 and stage = $2 and item = $3 and attempt = $4
