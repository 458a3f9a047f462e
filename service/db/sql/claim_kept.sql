-- Take runs that are ready and are for the kept code of one version, as `claim.sql` takes the others. They stay out of
-- every line.
with picked as (
    select id, version as old_version from runs
    where pipeline = $2 and version = $3 and held = 'version' and ready_at is not null and ready_at <= now()
    order by ready_at, id
    limit $4
    for no key update skip locked
), claimed as (
    update runs r set
        state = 'running', owner = $1, epoch = r.epoch + 1, ready_at = null, poked = false, blamed = false,
        started_at = coalesce(r.started_at, now()), timed_from = coalesce(r.timed_from, now())
    from picked p
    where r.id = p.id
    returning r.id, r.pipeline, r.epoch, r.resume_epoch, r.adoptions, r.event_key, r.params, r.depth, r.key, r.pool,
        extract(epoch from now() - r.timed_from)::float8 as timed_s,
        r.cancel_requested_at is not null as cancel, r.gathered, p.old_version, r.version
), lost as (
    update attempts a set state = 'lost', finished_at = now()
    from claimed c
    where c.epoch > 1 and a.run_id = c.id and a.state = 'running'
)
select c.*, e.envelope, now() as at from claimed c join events e on e.key = c.event_key
order by c.id
