-- The aliases of a model by name, behind $2.
select alias, version from model_aliases
where model = $1 and alias > coalesce($2::text, '')
order by alias
limit $3
