select run_id, gate, state, reason, subject, extract(epoch from expires_at - clock_timestamp())::float8 as expires_in_s
from gates where run_id = any ($1::bigint[])
