insert into stage_logs (run_id, stage, item, attempt, line, at, source, level, logger, message, fields)
select * from unnest(
    $1::bigint[], $2::text[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bytea[]
)
