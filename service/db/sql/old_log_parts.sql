-- Parts of the run log that ended more than $1 seconds ago, the oldest first, each with the sinks that have not read it to
-- its end.
select p.name,
    array(
        select s.name from sinks s, end_of_run_log_part(p.part) e where (s.xid, s.seq) < (e.xid, e.seq) order by s.name
    ) as unread_by
from run_log_parts p
where p.until < now() - make_interval(secs => $1)
order by p.until
