-- Since when unfinished runs work through lists: the items they still have to do are in the store, and in no row.
select min(r.started_at) as since from runs r
where r.state in ('queued', 'running', 'waiting') and r.id > 0
    and exists (
        select from attempts a
        where a.run_id = r.id and a.item > -1 and not exists (
            select from attempts w
            where w.run_id = a.run_id and w.stage = a.stage and w.item = -1 and w.state in ('succeeded', 'reused')
                and w.void is null
        )
    )
