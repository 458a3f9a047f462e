-- Nobody writes under an epoch that was never given out.
select format('attempt %s of %s in run %s is of epoch %s, the run is at %s', a.attempt, a.stage, a.run_id, a.epoch, r.epoch)
    as what
from attempts a join runs r on r.id = a.run_id
where a.epoch > r.epoch
limit $1
