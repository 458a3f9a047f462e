-- What was applied by a later version. (A database from before there were needs has no such column.)
select m.number, m.name, coalesce((to_jsonb(m) ->> 'needs')::int, 0) as needs from migrations m
where m.number <> all ($1::int[])
order by m.number
