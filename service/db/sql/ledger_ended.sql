-- A run that has ended has nothing under way.
select format('run %s has %s, and attempt %s of %s is %s', r.id, r.state, a.attempt, a.stage, a.state) as what
from attempts a join runs r on r.id = a.run_id
where a.state in ('running', 'waiting') and r.finished_at is not null
limit $1
