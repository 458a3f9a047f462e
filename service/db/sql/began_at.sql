-- Every version of a pipeline, the oldest first.
select first_seen_at, definition from pipelines where name = $1 order by first_seen_at
