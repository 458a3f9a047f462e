-- Marked runs with everything that is theirs. One that was resumed meanwhile, or registered a model, stays.
with picked as materialized (
    select r.id, r.pipeline
    from (select run_id, decided_at from fates where removing order by run_id limit $1) f
    join runs r on r.id = f.run_id
    where r.state in ('succeeded', 'failed', 'cancelled') and r.finished_at < f.decided_at
        and not exists (select from model_versions v where v.run_id = r.id)
    order by r.id
    for update of r skip locked
), tried as (
    delete from attempts a using picked p where a.run_id = p.id
    returning a.run_id, a.output_digest, a.output_size, a.output_inline is null as stored
), costs as (
    delete from attempt_costs c using picked p where c.run_id = p.id
), logged as (
    delete from stage_logs l using picked p where l.run_id = p.id returning l.run_id
), logged_more as (
    delete from stage_log_files l using picked p where l.run_id = p.id
    returning l.run_id, l.digest, l.size_bytes, l.lines
), gated as (
    delete from gates g using picked p where g.run_id = p.id
), voted as (
    delete from gate_votes v using picked p where v.run_id = p.id
), linked as (
    delete from gate_links l using picked p where l.run_id = p.id
), checked as (
    delete from gate_history h using picked p where h.run_id = p.id returning h.run_id, h.report, h.report_size
), acted as (
    delete from run_actions x using picked p where x.run_id = p.id
), fenced as (
    delete from fenced_effects x using picked p where x.run_id = p.id
), replayed as (
    delete from replays x using picked p where x.run_id = p.id
), gone as (
    delete from runs r using picked p where r.id = p.id
), looked_at as (
    select run_id from fates where removing order by run_id limit $1
), settled as (
    update fates f set removing = false from looked_at l where f.removing and f.run_id = l.run_id
), stored as materialized (
    select run_id, output_digest as digest, output_size as size_bytes from tried
    where stored and output_digest is not null
    union all
    select run_id, digest, size_bytes from logged_more
    union all
    select run_id, report, report_size from checked where report is not null
)
select p.id, p.pipeline,
    (select count(*) from tried t where t.run_id = p.id) as attempts,
    (select count(*) from logged l where l.run_id = p.id)
    + (select coalesce(sum(l.lines), 0) from logged_more l where l.run_id = p.id) as log_lines,
    array(select s.digest from stored s where s.run_id = p.id order by s.digest) as digests,
    array(select s.size_bytes from stored s where s.run_id = p.id order by s.digest) as sizes
from picked p
