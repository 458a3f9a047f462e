-- A run that the run log tells of is there, or retention has removed it: then its event is known to have run, unless that
-- has been removed as well. Of runs that may be as old as such an event nothing is said.
with told as (
    select distinct (entry ->> 'run')::bigint as run
    from run_log, json_array_elements(convert_from(entries, 'utf8')::json) as entry
    where entry ->> 'run' is not null and entry ->> 'pipeline' is not null
), young as (
    select min(r.id) as first from runs r where r.queued_at > (select until + interval '1 minute' from events_removed)
)
select format('run %s is gone, and the run log tells of it', t.run) as what
from told t
where not exists (select from runs r where r.id = t.run)
    and not exists (select from fates f where f.run_id = t.run and f.fate = 'ran')
    and (not exists (select from events_removed) or t.run > (select first from young))
limit $1
