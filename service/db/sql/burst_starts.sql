-- When the latest runs of a trigger and key began, as far as its limit looks back.
select g.pipeline, g.trigger, g.key, array(
    select r.queued_at from runs r
    where r.pipeline = g.pipeline and r.trigger = g.trigger and r.burst_key = g.key
        and r.queued_at > now() - make_interval(secs => g.per_s)
    order by r.queued_at desc
    limit g.most
) as began, now() as at
from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::int[]) as g (pipeline, trigger, key, per_s, most)
