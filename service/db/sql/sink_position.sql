select xid::text as xid, seq from sinks where name = $1
