-- The connection is named after the process: see `end_standing.sql`.
with made as (
    insert into daemons (host, pid, roles, version, lease_s, knows) values ($1, $2, $3, $4, $5, $6) returning id
)
select id, set_config('application_name', 'tidemill daemon ' || id, false) from made
