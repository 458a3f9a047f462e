select stage, attempt, epoch, state, transient, key, output_digest, output_codec, output_size, output_inline, metrics,
    failure, reused_run, started_at, finished_at, retry_at, progress, note, progress_at
from attempts where run_id = $1 order by started_at, stage, attempt
