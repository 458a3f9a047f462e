update sinks set xid = $2::text::xid8, seq = $3, moved_at = now(), delivered = delivered + $4, refused = refused + $5,
    note = '', failing_since = null
where name = $1
