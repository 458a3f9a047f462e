-- Pipelines by name, behind $1: of those that were loaded anywhere and those called $3. One step in the index for each.
with recursive found as (
    (select name from pipelines where name > coalesce($1::text, '') order by name limit 1)
    union all
    select (select p.name from pipelines p where p.name > f.name order by p.name limit 1)
    from found f where f.name is not null
)
select name from (
    (select name from found where name is not null limit $2)
    union
    select name from unnest($3::text[]) as loaded (name) where name > coalesce($1::text, '')
) named
order by name
limit $2
