-- The runs of each key that have not finished, oldest first, and whether each was asked to cancel.
select g.pipeline, g.key, r.id, r.cancelling
from unnest($1::text[], $2::text[]) as g (pipeline, key)
cross join lateral (
    select id, cancel_requested_at is not null as cancelling from runs
    where pipeline = g.pipeline and key = g.key and finished_at is null
    order by id
) r
