-- Other runs (than $2, and below $3) that made an artifact or used it again, the newest first.
select a.run_id, a.stage, a.state, a.reused_run, r.pipeline, a.started_at
from attempts a join runs r on r.id = a.run_id
where a.output_digest = $1 and a.output_inline is null and a.run_id <> $2 and ($3::bigint is null or a.run_id < $3)
order by a.run_id desc
limit $4
