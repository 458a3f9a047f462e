-- The next rows of the log after ($1, $2), as far as nothing can appear among them any more.
select xid::text as xid, seq, at, entries from run_log
where (xid, seq) > ($1::text::xid8, $2::bigint) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by xid, seq limit $3
