-- Models by name, behind $1: one step in the index for each. Versions count on from 1, and none is ever removed.
with recursive found as (
    (select model from model_versions where model > coalesce($1::text, '') order by model limit 1)
    union all
    select (select v.model from model_versions v where v.model > f.model order by v.model limit 1)
    from found f where f.model is not null
), page as (
    select model from found where model is not null limit $2
)
select p.model, (select max(v.version) from model_versions v where v.model = p.model) as latest, (
    select json_object_agg(a.alias, a.version) from (
        select alias, version from model_aliases where model = p.model order by alias <> 'production', alias limit 100
    ) a
)::text as aliases
from page p
order by p.model
