-- A running run is somebody's: its owner is a daemon that was registered.
select format('run %s is running and owned by %s, which no daemon ever was', r.id, r.owner) as what
from runs r where r.owner is not null and not exists (select from daemons d where d.id = r.owner)
limit $1
