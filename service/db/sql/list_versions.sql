select v.*, (
    select array_agg(a.alias order by a.alias) from model_aliases a where a.model = v.model and a.version = v.version
) as aliases
from model_versions v
where v.model = $1 and ($2::int is null or v.version < $2)
order by v.version desc
limit $3
