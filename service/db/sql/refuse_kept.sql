-- Runs that are ready for the kept code of a version that cannot be run. What a process that died had begun is lost.
with refused as (
    update runs set state = 'failed', ready_at = null, finished_at = now(), failure = $3
    where pipeline = $1 and version = $2 and held = 'version' and ready_at is not null and ready_at <= now()
    returning id, pipeline, parent_run
), lost as (
    update attempts a set state = 'lost', finished_at = now()
    from refused r where a.run_id = r.id and a.state = 'running'
)
select id, pipeline, parent_run from refused
