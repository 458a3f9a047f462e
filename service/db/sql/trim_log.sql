-- Forget rows that are in no part, written more than $1 seconds ago, that every sink has read but those in $2.
delete from run_log_rest l
where l.at < now() - make_interval(secs => $1)
    and not exists (select from sinks s where s.name <> all ($2::text[]) and (s.xid, s.seq) < (l.xid, l.seq))
