-- Compare-and-set: $4 is where the caller last saw the alias (null: nowhere). Already there is success.
with moved as (
    update model_aliases set version = $3, moved_at = now()
    where model = $1 and alias = $2 and (version = $4 or version = $3)
    returning model
), made as (
    insert into model_aliases (model, alias, version)
    select $1, $2, $3 where $4::int is null
    on conflict do nothing
    returning model
)
select model from moved union all select model from made
