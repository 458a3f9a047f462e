-- A run that succeeded has a result of each of its stages.
select format('run %s succeeded without a result of stage %s', r.id, s.stage) as what
from runs r
join (
    select name, version, stage ->> 'name' as stage
    from pipelines, json_array_elements(convert_from(definition, 'utf8')::json -> 'stages') as stage
) s on s.name = r.pipeline and s.version = r.version
where r.state = 'succeeded' and not exists (
    select from attempts a
    where a.run_id = r.id and a.stage = s.stage and a.state in ('succeeded', 'reused', 'skipped') and a.void is null
)
limit $1
