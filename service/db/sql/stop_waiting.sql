-- A run that is over waits for no sub-run.
update attempts set state = 'cancelled', finished_at = now(), reason = 'the run was cancelled'
where run_id = $1 and state = 'waiting'
