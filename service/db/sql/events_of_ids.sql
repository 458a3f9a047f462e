select id, envelope from events
where left(id, 200) = any (select left(one, 200) from unnest($1::text[]) as one) and id = any ($1::text[])
