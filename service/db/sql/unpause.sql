with changed as (
    update pause_changes set version = version + 1
)
update pauses set lifted_at = now(), lifted_by = $3
where pipeline = $1 and trigger = $2 and lifted_at is null
returning id
