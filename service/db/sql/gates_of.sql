select g.run_id, g.gate, g.state, g.reason, g.subject,
    extract(epoch from g.expires_at - clock_timestamp())::float8 as expires_in_s,
    case when g.state = 'failed' then (
        select v.by from gate_votes v
        where v.run_id = g.run_id and v.gate = g.gate and v.subject = g.subject and v.by = g.decided_by
            and v.decision = 'rejected'
    ) end as rejected_by
from gates g where g.run_id = any ($1::bigint[])
