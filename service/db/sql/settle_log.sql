-- The log of another server, in the order it had there, before whatever this one writes (its first transaction is 3); and
-- each sink where it was in it. Numbered from the microsecond on, so that no place is one that a sink has told of before,
-- here or on another server that was filled from the same dump. Both tables are locked.
select setval('run_log_seq', (extract(epoch from now()) * 1000000)::bigint);

update sinks s set xid = '3', seq = (select last_value from run_log_seq) + (
    select count(*) from run_log l where (l.xid, l.seq) <= (s.xid, s.seq)
);

update run_log l set xid = '3', seq = (select last_value from run_log_seq) + o.place
from (select xid, seq, row_number() over (order by xid, seq) as place from run_log) o
where (l.xid, l.seq) = (o.xid, o.seq);

select setval('run_log_seq', last_value + (select count(*) from run_log) + 1, false) from run_log_seq;
