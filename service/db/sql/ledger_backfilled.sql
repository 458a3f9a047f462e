-- A tick of a backfill that has started is a run.
select format('backfill %s: its tick %s is %s without a run', t.backfill, t.due_at, t.state) as what
from backfill_ticks t
where t.state <> 'refused' and not exists (select from runs r where r.id = t.run_id)
    and t.due_at > coalesce((select until from events_removed), '-infinity')
limit $1
