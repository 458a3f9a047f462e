-- The attempts of stages, and of the items of mapped stages those that are under way or went wrong: the latest $2. With
-- what they cost, where that was measured.
with told as (
    select * from attempts where run_id = $1 and item = -1
    union all
    (
        select * from attempts
        where run_id = $1 and item >= 0 and state in ('running', 'waiting', 'failed', 'lost')
        order by started_at desc
        limit $2
    )
)
select stage, item, attempt, epoch, version, state, void, reason, child_run, transient, key, output_digest, output_codec,
    output_size, output_inline, metrics, failure, reused_run, started_at, finished_at, retry_at, progress, note,
    progress_at, cpu_s, memory_bytes
from told left join attempt_costs using (run_id, stage, item, attempt)
order by started_at, stage, item, attempt
