update gates set state = $3, reason = $4, evidence = $5, decided_by = $6, decided_at = now()
where run_id = $1 and gate = $2 and state = 'waiting'
returning gate
