-- In how many seconds the lease of another process would lapse next, if that is not heard of again.
select extract(epoch from min(renewed_at + make_interval(secs => lease_s)) - clock_timestamp())::float8
from daemons
where state = 'alive' and id <> $1 and renewed_at >= now() - make_interval(secs => lease_s)
