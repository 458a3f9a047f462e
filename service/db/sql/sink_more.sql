select exists (select from run_log where (xid, seq) > ($1::text::xid8, $2::bigint)) as more
