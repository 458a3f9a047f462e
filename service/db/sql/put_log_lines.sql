insert into stage_logs (run_id, stage, attempt, at, level, message)
select * from unnest($1::bigint[], $2::text[], $3::int[], $4::timestamptz[], $5::text[], $6::text[])
