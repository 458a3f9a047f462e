-- A run that is over waits for no sub-run, and what was under way in a process that died is so no more.
update attempts set state = 'cancelled', finished_at = now(), reason = 'the run was cancelled'
where run_id = $1 and state in ('waiting', 'running')
