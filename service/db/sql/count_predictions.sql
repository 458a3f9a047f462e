-- How many predictions each of these versions has answered, as far as is kept.
select p.model, p.version, sum(p.answered)::bigint as answered, min(p.first_at) as first_at, max(p.last_at) as last_at
from unnest($1::text[], $2::int[]) as w (model, version)
join predictions p on p.model = w.model and p.version = w.version
group by p.model, p.version
