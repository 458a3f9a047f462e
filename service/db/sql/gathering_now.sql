-- The runs that gather for these keys at this moment, for somebody who only asks: nothing is locked.
select g.pipeline, g.trigger, g.key, r.id, r.queued_at, r.ready_at, r.gathered
from unnest($1::text[], $2::text[], $3::text[]) as g (pipeline, trigger, key)
cross join lateral (
    select id, queued_at, ready_at, coalesce(gathered, 1) as gathered from runs
    where pipeline = g.pipeline and trigger = g.trigger and gathering = g.key and state = 'queued' and epoch = 0
) r
