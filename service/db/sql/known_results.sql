select distinct on (a.key) a.key, a.run_id, a.output_digest, a.output_codec, a.output_size, a.output_inline, a.metrics
from unnest($1::uuid[]) as g (key)
join attempts a on a.key = g.key and a.state = 'succeeded'
order by a.key, a.run_id
