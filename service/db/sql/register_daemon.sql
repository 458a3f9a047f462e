insert into daemons (host, pid, roles, version, lease_s) values ($1, $2, $3, $4, $5) returning id
