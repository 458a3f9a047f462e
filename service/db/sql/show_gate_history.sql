-- The newest of what was found and decided in a run, oldest first.
select * from (
    select gate, seq, state, reason, evidence, subject, decided_by, decided_at, report, report_size
    from gate_history where run_id = $1 order by seq desc limit $2
) newest order by seq
