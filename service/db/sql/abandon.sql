update runs set abandoned_at = now(), abandoned_by = $2, abandon_reason = $3
where id = $1 and abandoned_at is null and (state = 'failed' or (state = 'cancelled' and sequence is not null))
returning pipeline, sequence
