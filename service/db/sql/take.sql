-- Take the runs that were chosen among those with limits, as `claim.sql` takes the others. What another process has its
-- hands on is left.
with picked as (
    select r.id, r.version as old_version, c.version, c.limited, c.pool
    from unnest($2::bigint[], $3::text[], $4::boolean[], $5::text[]) as c (id, version, limited, pool)
    cross join lateral (
        select id, version from runs where id = c.id and coalesce(ready_at <= $6::timestamptz, false) limit 1
        for no key update skip locked
    ) r
), claimed as (
    update runs r set
        state = 'running', owner = $1, epoch = r.epoch + 1, ready_at = null, poked = false, blamed = false,
        held = '', limited = p.limited, pool = p.pool,
        started_at = coalesce(r.started_at, $6), timed_from = coalesce(r.timed_from, $6), version = p.version
    from picked p
    where r.id = p.id
    returning r.id, r.pipeline, r.epoch, r.resume_epoch, r.adoptions, r.event_key, r.params, r.depth, r.key, r.pool,
        extract(epoch from now() - r.timed_from)::float8 as timed_s,
        r.cancel_requested_at is not null as cancel, r.gathered, p.old_version, p.version
), lost as (
    update attempts a set state = 'lost', finished_at = now()
    from claimed c
    where c.epoch > 1 and a.run_id = c.id and a.state = 'running'
)
select c.*, e.envelope, now() as at from claimed c join events e on e.key = c.event_key
order by c.id
