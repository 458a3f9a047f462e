-- The events that share these runs, in the order in which they were accepted.
select f.run_id, e.envelope
from fates f join events e on e.key = f.event_key
where f.run_id = any ($1::bigint[]) and f.fate = 'coalesced'
order by f.run_id, f.place
