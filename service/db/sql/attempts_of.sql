select run_id, epoch, stage, attempt, state, transient, output_digest, output_codec, output_size, output_inline, metrics,
    coalesce(made_at, finished_at) as finished_at, extract(epoch from retry_at - clock_timestamp())::float8 as retry_in_s
from attempts where run_id = any ($1::bigint[]) order by run_id, stage, attempt
