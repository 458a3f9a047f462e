-- The runs that gather for these keys, locked: whoever starts one passes it by until this has committed. One that is
-- being started meanwhile is waited for, and gathers no more.
select g.pipeline, g.trigger, g.key, r.id, r.queued_at, r.ready_at, r.gathered, now() as at
from unnest($1::text[], $2::text[], $3::text[]) as g (pipeline, trigger, key)
left join lateral (
    select id, queued_at, ready_at, coalesce(gathered, 1) as gathered from runs
    where pipeline = g.pipeline and trigger = g.trigger and gathering = g.key and state = 'queued' and epoch = 0
    for no key update
) r on true
