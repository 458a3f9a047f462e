update runs set abandoned_at = now(), abandoned_by = $2, abandon_reason = $3
where id = $1 and state = 'failed' and abandoned_at is null
returning pipeline
