-- Sinks: readers of the run log, each at its own pace.

-- The order in which the log is read: see docs/decisions/0005.
create index run_log_in_order on run_log (xid, seq);

-- How far each sink has delivered: everything up to (xid, seq). Moved by the connection that holds the sink's advisory
-- lock, so by one process at a time. `note`: why nothing is delivered now, since `failing_since`. `refused`: what the
-- other side will not have, however often it is sent.
create table sinks (
    name text primary key,
    xid xid8 not null,
    seq bigint not null,
    moved_at timestamptz not null default now(),
    delivered bigint not null default 0,
    refused bigint not null default 0,
    note text not null default '',
    failing_since timestamptz,
    check ((note = '') = (failing_since is null))
) with (fillfactor = 50);
