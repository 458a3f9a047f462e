-- Take runs that are ready, oldest first within a priority, and call the attempts of earlier owners lost. (Only queued and
-- waiting runs have a time to be ready at: a constraint says so. Naming the states, or the pipeline without the
-- concatenation, would invite the planner to walk an index of far more rows.)
with picked as (
    select id, version from runs
    where ready_at <= now() and pipeline || '' = any ($2::text[])
    order by priority desc, ready_at
    limit $4
    for no key update skip locked
), claimed as (
    update runs r set
        state = 'running', owner = $1, epoch = r.epoch + 1, ready_at = null, poked = false, blamed = false,
        started_at = coalesce(r.started_at, now()), timed_from = coalesce(r.timed_from, now()), version = g.version
    from picked p, unnest($2::text[], $3::text[]) as g (pipeline, version)
    where r.id = p.id and g.pipeline = r.pipeline
    returning r.id, r.pipeline, r.epoch, r.resume_epoch, r.adoptions, r.event_key, r.params, r.depth,
        extract(epoch from now() - r.timed_from)::float8 as timed_s,
        r.cancel_requested_at is not null as cancel, p.version as old_version, r.version as version
), lost as (
    update attempts a set state = 'lost', finished_at = now()
    from claimed c
    where c.epoch > 1 and a.run_id = c.id and a.state = 'running'
)
select c.*, e.envelope, now() as at from claimed c join events e on e.key = c.event_key
order by c.id
