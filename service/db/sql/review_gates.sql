select run_id, gate, source, target, state, reason, evidence, subject, decided_by, decided_at
from gates where run_id = any ($1::bigint[]) order by run_id, gate
