-- A sub-run belongs to the run that waits for it; the answer is where it stands.
update runs set parent_run = $2 where id = $1
returning state
