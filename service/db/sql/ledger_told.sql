-- The run log tells of each end: whoever reads it (alerts, lineage, metrics) learns of every run. (Materialized: for the
-- first few that are untold, where there is none, the planner would read the log through for each run.)
with told as (
    select (entry ->> 'run')::bigint as run, entry ->> 'move' as move
    from run_log, json_array_elements(convert_from(entries, 'utf8')::json) as entry
    where entry ->> 'move' in ('succeeded', 'failed', 'cancelled') and entry ->> 'stage' is null and entry ->> 'gate' is null
), untold as materialized (
    select r.id, r.state from runs r
    where r.finished_at > (select min(at) from run_log)
        and not exists (select from told t where t.run = r.id and t.move = r.state)
)
select format('run %s has %s, and the run log does not tell of it', id, state) as what from untold
limit $1
