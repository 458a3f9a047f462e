insert into trigger_statuses (daemon, binding, status)
select $1, binding, status from unnest($2::text[], $3::bytea[]) as g (binding, status)
on conflict (binding, daemon) do update set status = excluded.status, reported_at = now()
