-- Where a gate stands now that somebody voted, or that its time is over.
with decided as (
    update gates set state = $3, reason = $4, evidence = $5, decided_by = $6, decided_at = now()
    where run_id = $1 and gate = $2 and state = 'waiting'
    returning *
)
insert into gate_history (run_id, gate, state, reason, evidence, subject, decided_by)
select run_id, gate, state, reason, evidence, subject, decided_by from decided
returning gate
