-- An event that shares a run shares one of its own pipeline.
select format('event %s shares run %s in %s, which is none of that pipeline', f.event_key, f.run_id, f.pipeline) as what
from fates f left join runs r on r.id = f.run_id
where f.fate = 'coalesced' and r.pipeline is distinct from f.pipeline
    and (r.id is not null or f.decided_at > coalesce((select until from events_removed), '-infinity'))
limit $1
