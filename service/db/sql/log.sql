with entry as (
    insert into run_log (daemon, entries) values ($1, $2) returning seq
)
select pg_notify($3, seq::text) from entry
