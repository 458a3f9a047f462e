-- A run that succeeded has passed its gates.
select format('run %s succeeded, and its gate %s is %s', g.run_id, g.gate, g.state) as what
from gates g join runs r on r.id = g.run_id
where r.state = 'succeeded' and g.state <> 'passed'
limit $1
