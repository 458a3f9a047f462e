-- Runs that are ready for the kept code of a version that cannot be run.
update runs set state = 'failed', ready_at = null, finished_at = now(), failure = $3
where pipeline = $1 and version = $2 and held = 'version' and ready_at is not null and ready_at <= now()
returning id, pipeline, parent_run
