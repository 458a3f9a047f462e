-- What people said at the gates of a run, also about artifacts that were made anew since.
select gate, subject, by, role, decision, reason, at, event_key from gate_votes where run_id = $1 order by at, gate, by
