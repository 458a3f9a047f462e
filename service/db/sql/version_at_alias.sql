select v.* from model_aliases a join model_versions v on v.model = a.model and v.version = a.version
where a.model = $1 and a.alias = $2
