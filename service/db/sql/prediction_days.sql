-- The days before $3 on which a version answered, the newest first.
select day, sum(answered)::bigint as answered, min(first_at) as first_at, max(last_at) as last_at
from predictions
where model = $1 and version = $2 and ($3::date is null or day < $3)
group by day
order by day desc
limit $4
