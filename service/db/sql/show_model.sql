select v.model, v.version as latest, (
    select json_object_agg(a.alias, a.version) from (
        select alias, version from model_aliases where model = v.model order by alias <> 'production', alias limit 100
    ) a
)::text as aliases
from model_versions v
where v.model = $1
order by v.version desc
limit 1
