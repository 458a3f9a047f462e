-- A stage succeeds once in a run, whatever was killed: one result for each of its items.
select format('run %s has %s results of stage %s, item %s', a.run_id, count(*), a.stage, a.item) as what
from attempts a
where a.state in ('succeeded', 'reused', 'skipped') and a.void is null
group by a.run_id, a.stage, a.item having count(*) > 1
limit $1
