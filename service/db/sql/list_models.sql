select v.*, (
    select array_agg(a.alias order by a.alias) from model_aliases a where a.model = v.model and a.version = v.version
) as aliases
from model_versions v
where $1::text is null or v.model = $1
order by v.model, v.version desc
limit $2
