-- The versions of a pipeline whose names begin with $2, newest first.
select version, first_seen_at, definition, code, code_bytes, code_missing, made_with from pipelines
where name = $1 and starts_with(version, $2)
order by first_seen_at desc, version
limit $3
