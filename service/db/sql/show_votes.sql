select v.gate, v.by, v.role, v.decision, v.reason, v.at, v.event_key
from gates g join gate_votes v on v.run_id = g.run_id and v.gate = g.gate and v.subject = g.subject
where g.run_id = $1 order by v.at, v.by
