-- Whether the run log or a sink's place holds numbers of transactions that this server has not come to: they are those
-- of the server that a dump was taken from.
select exists (select from run_log where xid >= pg_snapshot_xmax(pg_current_snapshot()))
    or exists (select from sinks where xid > pg_snapshot_xmax(pg_current_snapshot()))
