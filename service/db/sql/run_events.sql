-- The events of a run from place $2 on: the one it was started for is number 0, then those that joined it.
select m.place, e.key, e.source, e.id, e.type, e.subject, e.occurred_at, e.accepted_at, e.envelope
from (
    select 0 as place, event_key from runs where id = $1
    union all
    select place, event_key from fates where run_id = $1 and fate = 'coalesced'
) m
join events e on e.key = m.event_key
where m.place >= $2::bigint
order by m.place
limit $3
