-- A few keys that are older than $1 seconds: each that is taken lets go of two.
delete from idempotency_keys
where (caller, key) in (
    select caller, key from idempotency_keys
    where taken_at < now() - make_interval(secs => $1)
    order by taken_at
    limit 2
    for update skip locked
)
