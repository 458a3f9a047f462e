insert into fenced_effects (run_id, stage, item, attempt, place, effect)
select * from unnest($1::bigint[], $2::text[], $3::int[], $4::int[], $5::int[], $6::bytea[])
on conflict do nothing
