insert into pipelines (name, version, definition) select * from unnest($1::text[], $2::text[], $3::bytea[])
on conflict do nothing
