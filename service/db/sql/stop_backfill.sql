update backfills set halted = coalesce(halted, 'stopped by ' || $2), stopped_by = coalesce(stopped_by, $2)
where id = $1 and state = 'running'
returning id
