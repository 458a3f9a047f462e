select seq, stage, item, attempt, at, source, level, logger, message, fields from stage_logs
where run_id = $1 and seq > $2 and ($3::text is null or stage = $3) and ($4::bigint is null or item = $4)
    and ($5::bigint is null or attempt = $5)
order by seq
limit $6
