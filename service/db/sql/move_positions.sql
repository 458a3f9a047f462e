-- Compare-and-set: of the given moves, those whose position still stands where the reader last saw it. Two moves of one
-- position in one flush cannot both hold: the first one counts.
with given as (
    select distinct on (scope, key) *
    from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) as g (move, scope, key, value, expect)
    order by scope, key, move
), moved as (
    update positions p set value = g.value, moved_at = now()
    from given g
    where p.scope = any (array[g.scope]) and p.key = any (array[g.key]) and p.value = g.expect
    returning g.move
), made as (
    insert into positions (scope, key, value)
    select scope, key, value from given where expect = ''
    on conflict do nothing
    returning scope, key
)
select move from moved
union all
select g.move from given g join made m on m.scope = g.scope and m.key = g.key where g.expect = ''
