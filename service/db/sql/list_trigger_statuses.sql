-- What each trigger's listeners said last, of processes that are alive.
select s.binding, s.daemon, s.status, s.reported_at
from trigger_statuses s join daemons d on d.id = s.daemon and d.state = 'alive'
order by s.binding, s.daemon
