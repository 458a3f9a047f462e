-- The run log tells of each end: whoever reads it (alerts, lineage, metrics) learns of every run.
with told as (
    select (entry ->> 'run')::bigint as run, entry ->> 'move' as move
    from run_log, json_array_elements(convert_from(entries, 'utf8')::json) as entry
    where entry ->> 'move' in ('succeeded', 'failed', 'cancelled') and entry ->> 'stage' is null and entry ->> 'gate' is null
)
select format('run %s has %s, and the run log does not tell of it', r.id, r.state) as what
from runs r
where r.finished_at > (select min(at) from run_log)
    and not exists (select from told t where t.run = r.id and t.move = r.state)
limit $1
