-- Ticks whose runs are over, with how they ended. A run that was removed had ended.
update backfill_ticks t
set state = coalesce((select r.state from runs r where r.id = t.run_id), 'succeeded')
where t.backfill = $1 and t.state = 'started'
    and not exists (select from runs r where r.id = t.run_id and r.finished_at is null)
returning t.due_at, t.state, t.run_id
