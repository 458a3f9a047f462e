select stage, item, attempt, state, version, key, void, reason, transient, output_digest, output_codec, output_size,
    metrics, failure, reused_run, child_run, made_at, started_at, finished_at, retry_at
from attempts where run_id = $1 order by started_at, stage, item, attempt
