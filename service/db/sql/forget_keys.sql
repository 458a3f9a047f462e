-- A few keys that are older than $1 seconds: each that is taken lets go of two.
with old as materialized (
    select caller, key from idempotency_keys
    where taken_at < now() - make_interval(secs => $1)
    order by taken_at
    limit 2
    for update skip locked
)
delete from idempotency_keys k using old o where k.caller = any (array[o.caller]) and k.key = any (array[o.key])
