insert into gate_links (id, run_id, gate, subject, person, decision, made_by, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
on conflict (id) do update set id = excluded.id
returning expires_at
