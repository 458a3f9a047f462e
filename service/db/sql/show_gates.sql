select gate, source, target, state, reason, evidence, subject, decided_by, decided_at, expires_at
from gates where run_id = $1 order by decided_at, gate
