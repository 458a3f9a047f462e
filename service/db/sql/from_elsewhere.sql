-- Whether the run log or a sink's place holds numbers of transactions that this server has not come to: they are those
-- of the server that a dump was taken from. Of the log only its last row in order is looked at.
select coalesce(
    (select xid from run_log order by xid desc, seq desc limit 1) >= pg_snapshot_xmax(pg_current_snapshot()), false
) or exists (select from sinks where xid > pg_snapshot_xmax(pg_current_snapshot()))
