-- Write what was found on arrows, the latest and the history. What people have decided about the same artifact stays,
-- and a gate that waits already goes on waiting as it did, with its votes and its time. Asking about another artifact,
-- or again after a resume, begins anew: no earlier vote counts.
with fenced as materialized (
    select g.* from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                           $8::bytea[], $9::text[], $10::text[], $11::float8[], $12::text[], $13::bigint[])
        as g (run_id, epoch, gate, source, target, state, reason, evidence, subject, decided_by, expires_s, report,
              report_size)
    cross join lateral (
        select from runs r where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1
    ) mine
), changed as materialized (
    select p.* from fenced p
    left join lateral (
        select * from gates o where o.run_id = p.run_id and o.gate = p.gate limit 1
    ) old on true
    where old.run_id is null
        or old.subject <> p.subject
        or (
            not (old.state = 'waiting' and p.state = 'waiting')
            and (old.state, old.reason, old.evidence, old.decided_by)
                is distinct from (p.state, p.reason, p.evidence, p.decided_by)
            and (
                select count(*) from gate_votes v
                where v.run_id = p.run_id and v.gate = p.gate and v.subject = p.subject
            ) = 0
        )
), voided as (
    delete from gate_votes v using changed m
    where v.run_id = any (array[m.run_id]) and v.gate = any (array[m.gate]) and v.subject = any (array[m.subject])
), kept as (
    insert into gate_history (run_id, gate, state, reason, evidence, subject, decided_by, report, report_size)
    select run_id, gate, state, reason, evidence, subject, decided_by, report, report_size from changed
), put as (
    insert into gates (run_id, gate, source, target, state, reason, evidence, subject, decided_by, expires_at)
    select run_id, gate, source, target, state, reason, evidence, subject, decided_by,
        clock_timestamp() + make_interval(secs => expires_s)
    from changed
    on conflict (run_id, gate) do update set
        state = excluded.state, reason = excluded.reason, evidence = excluded.evidence, subject = excluded.subject,
        decided_by = excluded.decided_by, decided_at = now(), expires_at = excluded.expires_at
)
select run_id, gate from fenced
