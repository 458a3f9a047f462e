-- An event that shares a run shares one of its own pipeline. Where retention has removed that, its own event is known to
-- have run, unless that has been removed as well. Of runs that may be as old as such an event nothing is said.
with young as (
    select min(r.id) as first from runs r where r.queued_at > (select until + interval '1 minute' from events_removed)
)
select format('event %s shares run %s in %s, which is none of that pipeline', f.event_key, f.run_id, f.pipeline) as what
from fates f left join runs r on r.id = f.run_id
where f.fate = 'coalesced' and r.pipeline is distinct from f.pipeline
    and (r.id is not null or (
        not exists (select from fates m where m.run_id = f.run_id and m.pipeline = f.pipeline and m.fate = 'ran')
        and (not exists (select from events_removed) or f.run_id > (select first from young))
    ))
limit $1
