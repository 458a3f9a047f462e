-- The next rows of the log after ($1, $2), as far as nothing can appear among them any more. (Ordered by the column: the
-- name alone would mean the text, in which 1000 comes before 999.)
select xid::text as xid, seq, at, entries from run_log
where (run_log.xid, seq) > ($1::text::xid8, $2::bigint) and run_log.xid < pg_snapshot_xmin(pg_current_snapshot())
order by run_log.xid, seq limit $3
