-- A run outlives its daemon: while another one lives that drives runs, it is adopted within moments of the lease's end.
select format(
    'run %s stands still: its daemon %s is %s, and was last heard of %s ago', r.id, d.id, d.state, now() - d.renewed_at
) as what
from runs r join daemons d on d.id = r.owner
where d.renewed_at < now() - make_interval(secs => 3 * d.lease_s + 30)
    and exists (
        select from daemons a
        where a.state = 'alive' and 'executor' = any (a.roles) and a.renewed_at > now() - make_interval(secs => a.lease_s)
            and a.started_at < now() - make_interval(secs => 3 * d.lease_s + 30)
    )
limit $1
