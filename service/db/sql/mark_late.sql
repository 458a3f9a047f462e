-- Unfinished runs whose time to be done has come: told once.
update runs set late_at = now()
where id in (
    select id from runs
    where due_at <= now() and late_at is null and state in ('queued', 'running', 'waiting')
    order by due_at limit 500
    for no key update skip locked
)
returning id, pipeline, due_at
