select by, decision, role from gate_votes where run_id = $1 and gate = $2 and subject = $3 order by at, by
