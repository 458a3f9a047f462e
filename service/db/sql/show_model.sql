select v.model, v.version as latest, (
    select json_object_agg(a.alias, a.version) from model_aliases a where a.model = v.model
)::text as aliases
from model_versions v
where v.model = $1
order by v.version desc
limit 1
