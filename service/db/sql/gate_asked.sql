select state, reason, evidence, subject, decided_by, coalesce(expires_at <= clock_timestamp(), false) as late,
    extract(epoch from expires_at - clock_timestamp())::float8 as expires_in_s
from gates where run_id = $1 and gate = $2
