-- The same version may be told of in more words by a later Tidemill, and what is no part of it, such as limits, may have
-- changed.
insert into pipelines (name, version, definition) select * from unnest($1::text[], $2::text[], $3::bytea[])
on conflict (name, version) do update set definition = excluded.definition
where pipelines.definition <> excluded.definition
