-- The last of the next $3 runs of a pipeline after $2, null where there is none, and whether any of them was queued more
-- than $4 seconds ago: only such can have finished so long ago.
select max(id) as last, bool_or($4::float8 is null or queued_at < now() - make_interval(secs => $4)) as old
from (select id, queued_at from runs where pipeline = $1 and id > $2 order by id limit $3) ahead
