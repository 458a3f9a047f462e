-- The votes about what gates of these runs ask now.
select v.run_id, v.gate, v.by, v.role, v.decision, v.reason, v.at, v.event_key
from gates g join gate_votes v on v.run_id = g.run_id and v.gate = g.gate and v.subject = g.subject
where g.run_id = any ($1::bigint[]) order by v.at, v.by
