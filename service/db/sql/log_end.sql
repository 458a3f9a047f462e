-- Where the log ends for a reader: everything before is told, nothing after is.
select pg_snapshot_xmin(pg_current_snapshot())::text as xid
