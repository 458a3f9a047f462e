-- Whatever has a fate was accepted: its event is here, unless retention has removed it.
select format('%s %s of %s is of an event that was never accepted: %s', o.kind, o.id, o.pipeline, o.event_key) as what
from (
    select 'run' as kind, id::text, pipeline, event_key, queued_at as at from runs
    union all
    select 'fate', fate, pipeline, event_key, decided_at from fates where not removing
) o
where not exists (select from events e where e.key = o.event_key)
    and o.at > coalesce((select until from events_removed), '-infinity')
limit $1
