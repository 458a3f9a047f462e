-- A sub-run belongs to the run that waits for it; the answer is whether it is over.
update runs set parent_run = $2 where id = $1
returning state in ('succeeded', 'failed', 'cancelled')
