select v.model, count(*) as versions, max(v.version) as latest, (
    select json_object_agg(a.alias, a.version) from model_aliases a where a.model = v.model
)::text as aliases
from model_versions v
where $1::text is null or v.model = $1
group by v.model
order by v.model
