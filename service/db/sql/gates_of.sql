select run_id, gate, state, reason, subject from gates where run_id = any ($1::bigint[])
