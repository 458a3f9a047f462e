select g.key, a.run_id, a.output_digest, a.output_codec, a.output_size, a.output_inline, a.metrics, a.finished_at,
    extract(epoch from now() - a.finished_at)::float8 as age_s
from unnest($1::uuid[]) as g (key)
cross join lateral (
    select * from attempts
    where key = g.key and state = 'succeeded' and reusable and void is null
    order by key, finished_at desc limit 1
) a
