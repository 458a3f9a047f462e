-- Of mapped stages only the items that went wrong.
select run_id, stage, item, attempt, state, version, key, void, reason, transient, output_digest, output_codec,
    output_size, metrics, failure, reused_run, child_run, made_at, started_at, finished_at, retry_at
from attempts
where run_id = any ($1::bigint[]) and (item = -1 or state in ('failed', 'lost'))
order by run_id, started_at, stage, item, attempt
