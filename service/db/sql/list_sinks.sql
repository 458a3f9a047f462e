-- `waiting_since`: since when the oldest row of the log waits that a sink has not delivered.
select s.name, s.moved_at, s.delivered, s.refused, s.note, s.failing_since, now() as now,
    (
        select l.at from run_log l where (l.xid, l.seq) > (s.xid, s.seq) order by l.xid, l.seq limit 1
    ) as waiting_since
from sinks s where s.name = any($1::text[]) order by s.name
