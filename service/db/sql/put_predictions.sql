-- What one process has counted so far. What was written last cannot be less.
insert into predictions (model, version, day, caller, teller, answered, first_at, last_at, latest)
select g.model, g.version, g.day, g.caller, g.teller, g.answered, g.first_at, g.last_at,
    string_to_array(g.latest, ' ')::timestamptz[]
from unnest(
    $1::text[], $2::int[], $3::date[], $4::text[], $5::uuid[], $6::bigint[], $7::timestamptz[], $8::timestamptz[], $9::text[]
) as g (model, version, day, caller, teller, answered, first_at, last_at, latest)
on conflict (model, version, day, caller, teller) do update
set answered = excluded.answered, first_at = excluded.first_at, last_at = excluded.last_at, latest = excluded.latest
where predictions.answered < excluded.answered
