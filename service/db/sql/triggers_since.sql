-- When the first version of a pipeline was seen that has a trigger of this name.
select g.pipeline, g.trigger, (
    select p.first_seen_at from pipelines p
    where p.name = g.pipeline
        and convert_from(p.definition, 'UTF8')::jsonb -> 'triggers' @> jsonb_build_array(jsonb_build_object('name', g.trigger))
    order by p.first_seen_at limit 1
) as since
from unnest($1::text[], $2::text[]) as g (pipeline, trigger)
