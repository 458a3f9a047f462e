select a.run_id, a.epoch, a.stage, a.item, a.attempt, a.state, a.transient, a.key, a.void, a.output_digest,
    a.output_codec, a.output_size, a.output_inline, a.metrics, a.child_run, a.reason, a.version,
    coalesce(a.made_at, a.finished_at) as finished_at,
    extract(epoch from clock_timestamp() - a.started_at)::float8 as started_ago_s,
    extract(epoch from a.retry_at - clock_timestamp())::float8 as retry_in_s,
    (select c.state from runs c where c.id = a.child_run) as child_state
from attempts a where a.run_id = any ($1::bigint[]) order by a.run_id, a.stage, a.item, a.attempt
