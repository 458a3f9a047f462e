insert into gates (run_id, gate, source, target, state, reason, evidence, subject, decided_by)
select g.run_id, g.gate, g.source, g.target, g.state, g.reason, g.evidence, g.subject, g.decided_by
from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
            $9::text[], $10::text[])
    as g (run_id, epoch, gate, source, target, state, reason, evidence, subject, decided_by)
cross join lateral (
    select from runs r where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1
) mine
on conflict (run_id, gate) do update set
    state = excluded.state, reason = excluded.reason, evidence = excluded.evidence, subject = excluded.subject,
    decided_by = excluded.decided_by, decided_at = now()
returning run_id, gate
