-- As if the stage had been tried and found unnecessary.
insert into attempts (run_id, epoch, stage, attempt, state, reason, version, started_at, finished_at)
select r.id, r.epoch, $2, coalesce((
    select max(attempt) from attempts where run_id = r.id and stage = $2 and item = -1
), 0) + 1, 'skipped', $3, r.version, now(), now()
from runs r where r.id = $1
