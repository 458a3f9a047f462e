-- A sink that is new begins with what is written from now on.
insert into sinks (name, xid, seq)
select name, pg_snapshot_xmin(pg_current_snapshot()), 0 from unnest($1::text[]) as new (name)
on conflict (name) do nothing
