select v.*, (
    select array_agg(a.alias order by a.alias) from model_aliases a where a.model = v.model and a.version = v.version
) as aliases
from model_versions v
where v.run_id = $1
order by v.created_at, v.model, v.version
