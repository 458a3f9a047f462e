insert into backfill_ticks (backfill, due_at, state, run_id, reason)
select $1, * from unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::text[])
on conflict (backfill, due_at) do nothing
