-- The versions in production that a pipeline made, with what they measured.
select v.model, v.version, v.metrics
from model_aliases a join model_versions v on v.model = a.model and v.version = a.version
where a.alias = 'production' and v.pipeline = $1
order by v.model
limit 5
