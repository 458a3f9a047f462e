-- The latest predictions of a version, as far as processes keep them, of its newest rows.
with newest as materialized (
    select day, caller, latest from predictions
    where model = $1 and version = $2
    order by day desc, caller, teller
    limit 200
)
select n.caller, l.at from newest n, unnest(n.latest) as l (at)
order by l.at desc, n.caller
limit $3
