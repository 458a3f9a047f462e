-- A process that stands still in the middle of a transaction holds its own row and whatever it has written to. Once its
-- lease has lapsed, and its client has said nothing for as long, the server is told to end it. (One that is slow is busy, or
-- waits for something else than its client.) By then the timeout of idle transactions may not count: a client that was to
-- send the second half of a statement is not idle.
select d.id, pg_terminate_backend(a.pid)
from daemons d
join pg_stat_activity a on a.application_name = 'tidemill daemon ' || d.id
where d.state = 'alive' and d.id <> $1 and d.renewed_at < now() - make_interval(secs => d.lease_s)
    and a.datname = current_database() and a.wait_event = 'ClientRead' and a.xact_start is not null
    and a.state_change < clock_timestamp() - make_interval(secs => d.lease_s)
