select seq, stage, attempt, at, level, message from stage_logs
where run_id = $1 and seq > $2 and ($3::text is null or stage = $3)
order by seq
limit $4
