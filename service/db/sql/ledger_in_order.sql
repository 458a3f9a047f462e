-- Runs of one sequence follow each other: the next starts after the one before it has succeeded, or was given up.
select format('run %s of %s started before run %s had ended', o.id, o.sequence, o.before) as what
from (
    select id, sequence, started_at, state, lag(id) over line as before, lag(finished_at) over line as ended_at,
        lag(abandoned_at) over line as abandoned_at
    from runs where sequence is not null
    window line as (partition by sequence order by id)
) o
where o.before is not null and o.started_at < coalesce(least(o.ended_at, o.abandoned_at), 'infinity')
limit $1
