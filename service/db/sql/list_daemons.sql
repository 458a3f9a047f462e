select id, host, pid, roles, version, lease_s, state, started_at, renewed_at from daemons
where state = 'alive' or renewed_at > now() - interval '1 hour'
order by id
