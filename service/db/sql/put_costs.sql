-- What attempts cost; the first word about each counts.
insert into attempt_costs (run_id, stage, item, attempt, cpu_s, memory_bytes)
select g.* from unnest($1::bigint[], $2::text[], $3::int[], $4::int[], $5::float8[], $6::bigint[])
    as g (run_id, stage, item, attempt, cpu_s, memory_bytes)
where (select r.id from runs r where r.id = g.run_id limit 1) is not null
on conflict do nothing
