-- A waiting run waits for something that will come: a time, a gate, a sub-run, a place.
select format('run %s waits for nothing', r.id) as what
from runs r
where r.state = 'waiting' and r.ready_at is null
    and not exists (select from gates g where g.run_id = r.id and g.state = 'waiting')
    and not exists (select from attempts a where a.run_id = r.id and a.state = 'waiting')
limit $1
