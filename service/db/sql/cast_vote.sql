insert into gate_votes (run_id, gate, subject, by, decision, reason, role, event_key)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (run_id, gate, subject, by) do nothing
