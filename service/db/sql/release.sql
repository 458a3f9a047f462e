-- A process that stops gives back the runs it could not finish, and its lease. What it cut short was not lost.
with released as (
    update runs set state = 'queued', owner = null, ready_at = queued_at where owner = $1
    returning id, pipeline, key, pool
), cut as (
    update attempts a set state = 'cancelled', finished_at = now()
    from released r where a.run_id = r.id and a.state = 'running'
), stopped as (
    update daemons set state = 'stopped' where id = $1
)
select id, pipeline, key, pool from released
