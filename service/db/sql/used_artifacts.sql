-- Those of these artifacts that an attempt refers to.
select g.digest from unnest($1::text[]) as g (digest)
where exists (select from attempts a where a.output_digest = g.digest and a.output_inline is null)
