update model_versions set state = case when version = $2 then 'production' else 'archived' end
where model = $1 and (version = $2 and state <> 'production' or version <> $2 and state = 'production')
