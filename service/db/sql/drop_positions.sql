-- What a source is to remember no more.
delete from positions p
using unnest($1::text[], $2::text[]) as g (scope, key)
where p.scope = any (array[g.scope]) and p.key = any (array[g.key])
