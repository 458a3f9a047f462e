select g.key, a.run_id, a.output_digest, a.output_codec, a.output_size, a.output_inline, a.metrics, a.finished_at
from unnest($1::uuid[]) as g (key)
cross join lateral (
    select * from attempts where key = g.key and state = 'succeeded' order by key, run_id limit 1
) a
