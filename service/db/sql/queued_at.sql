-- When the run was queued that has this number, or the next one.
select queued_at as at from runs where id >= $1 order by id limit 1
