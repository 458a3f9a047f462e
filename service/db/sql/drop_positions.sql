-- What a source is to remember no more.
delete from positions p
using unnest($1::text[], $2::text[]) as g (scope, key)
where p.scope = g.scope and p.key = g.key
