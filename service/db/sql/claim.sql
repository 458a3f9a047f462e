-- Take runs that are ready, of pipelines without limits, and call the attempts of earlier owners lost. Nothing is taken
-- while a pipeline with limits ($5) may have something to start: then all are weighed together (`candidates.sql`).
--
-- A line is what is ready of one pipeline and priority, and has begun or not; each is walked from its head. Places go to
-- the pipelines with the fewest runs here. A higher priority goes first, until others have caught up with it: they gain
-- a point a minute (`service.choice` reckons with the same).
--
-- A run that has begun, and has no limits, is taken $6 seconds before it is ready, and whoever has it waits for the rest:
-- until it is taken and its past is read, that is over.
--
-- Several processes look at the same heads. Each looks past as many runs as the others may have their hands on at once, and
-- takes the first that nobody has: so two that claim at once share what there is, in its order.
with recursive others as materialized (
    select least(greatest(count(*), 1), 8) as claiming from daemons where state = 'alive' and 'executor' = any (roles)
), lines as (
    select given.pipeline, given.version, head.priority, head.begun
    from unnest($2::text[], $3::text[]) as given (pipeline, version)
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = given.pipeline and held = '' and ready_at is not null
        order by priority, least(epoch, 1)
        limit 1
    ) head
    union all
    select l.pipeline, l.version, following.priority, following.begun
    from lines l
    cross join lateral (
        select priority, least(epoch, 1) as begun from runs
        where pipeline = l.pipeline and held = '' and ready_at is not null
            and (priority, least(epoch, 1)) > (l.priority, l.begun)
        order by priority, least(epoch, 1)
        limit 1
    ) following
), driven as materialized (
    select pipeline, count(*) as runs from runs where owner = $1 group by pipeline
), ready as materialized (
    select r.id, r.ready_at, l.pipeline, l.version, l.priority, l.begun,
        l.priority + extract(epoch from now() - r.ready_at) / 60 as aged,
        coalesce((select d.runs from driven d where d.pipeline = l.pipeline), 0) as driven
    from lines l
    cross join lateral (
        select id, ready_at from runs
        where pipeline = l.pipeline and held = '' and priority = l.priority and least(epoch, 1) = l.begun
            and ready_at
                <= now() + case when l.pipeline = any ($5::text[]) then 0 else l.begun end * make_interval(secs => $6)
        order by ready_at, id
        limit case when l.pipeline = any ($5::text[]) then 1 else $4 * (select claiming from others) end
    ) r
), weighed as (
    select id, version, ready_at, max(priority) over () - priority as below, aged >= max(priority) over () as able,
        driven + row_number() over (partition by pipeline order by begun desc, aged desc, id) as share
    from ready
), chosen as (
    select id, version from weighed
    where not exists (select from ready where pipeline = any ($5::text[]))
        and not exists (
            select from unnest($2::text[]) as given (pipeline)
            cross join lateral (
                select from lanes where pipeline = given.pipeline and opens_at <= now() limit 1
            ) lane
        )
    order by case when able then 0 else below end, share, ready_at, id
    limit $4 * (select claiming from others)
), picked as (
    select r.id, r.version as old_version, c.version
    from chosen c
    cross join lateral (
        -- Coalesced, so that no index of ready runs is taken for the one by id.
        select id, version from runs
        where id = c.id and coalesce(ready_at <= now() + least(epoch, 1) * make_interval(secs => $6), false)
        limit 1
        for no key update skip locked
    ) r
    limit $4
), claimed as (
    update runs r set
        state = 'running', owner = $1, epoch = r.epoch + 1, ready_at = null, poked = false, blamed = false,
        limited = false, pool = null,
        started_at = coalesce(r.started_at, now()), timed_from = coalesce(r.timed_from, now()), version = p.version
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
