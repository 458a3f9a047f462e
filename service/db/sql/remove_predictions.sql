-- Some counts of days that are older than $1 seconds.
with old as (
    select model, version, day, caller, teller from predictions
    where day < ((now() - make_interval(secs => $1)) at time zone 'utc')::date
    order by day
    limit $2
), gone as (
    delete from predictions p using old o
    where p.model = o.model and p.version = o.version and p.day = o.day and p.caller = o.caller and p.teller = o.teller
    returning p.day
)
select count(*) as days from gone
