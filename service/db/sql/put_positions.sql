insert into positions (scope, key, value)
select * from unnest($1::text[], $2::text[], $3::text[])
on conflict (scope, key) do update set value = excluded.value, moved_at = now()
