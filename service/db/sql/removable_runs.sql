-- Finished runs of a pipeline, from after $4 up to $7, that may go: beyond its newest $2, finished longer than $3 seconds
-- ago, waiting for no person and hold up none of their sequence, made no registered model ($5: the digests that models
-- refer to), and are no sub-runs of a run that is there: resumed, that would look for them.
select r.id from runs r
where r.pipeline = $1 and r.id > $4 and r.id <= $7
    and ($2 = 0 or r.id < (select n.id from runs n where n.pipeline = $1 order by n.id desc offset $2::int - 1 limit 1))
    and r.state in ('succeeded', 'failed', 'cancelled') and (r.state <> 'failed' or r.abandoned_at is not null or r.trigger = 'replay:shadow')
    and (r.sequence is null or r.state = 'succeeded' or r.abandoned_at is not null)
    and ($3::float8 is null or r.finished_at < now() - make_interval(secs => $3))
    and not exists (select from model_versions v where v.run_id = r.id)
    and not exists (
        select from attempts a
        where a.run_id = r.id and a.state in ('succeeded', 'reused') and a.output_digest = any ($5::text[])
    )
    and not exists (select from runs p where p.id = r.parent_run)
order by r.id
limit $6
