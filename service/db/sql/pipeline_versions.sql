-- The versions of a pipeline whose names begin with $2, newest first, behind the version $4.
select version, first_seen_at, definition, code, code_bytes, code_missing, made_with from pipelines
where name = $1 and starts_with(version, $2) and (first_seen_at, version) < (
    coalesce((select b.first_seen_at from pipelines b where b.name = $1 and b.version = $4), 'infinity'),
    coalesce($4::text, '')
)
order by first_seen_at desc, version desc
limit $3
