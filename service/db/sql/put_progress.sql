-- How far attempts say they are. One that has ended meanwhile keeps what it said last.
update attempts set progress = g.fraction, note = g.note, progress_at = clock_timestamp()
from unnest($1::bigint[], $2::text[], $3::int[], $4::int[], $5::float4[], $6::text[])
    as g (run_id, stage, item, attempt, fraction, note)
where attempts.run_id = g.run_id and attempts.stage = g.stage and attempts.item = g.item
    and attempts.attempt = g.attempt and attempts.state = 'running'
