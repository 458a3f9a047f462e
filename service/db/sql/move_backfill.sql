update backfills set
    reached_at = coalesce($2, reached_at), known = known + $3, refused = refused + $4, started = started + $5,
    succeeded = succeeded + $6, failed = failed + $7, cancelled = cancelled + $8, halted = $9, state = $10,
    finished_at = case when $10 <> 'running' then now() end
where id = $1
