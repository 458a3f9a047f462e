-- The ticks a backfill touched last: those under way, those that went wrong, then the newest of the others.
select t.due_at, t.run_id, t.reason, case when t.state = 'started' then coalesce(r.state, 'succeeded') else t.state end as state
from backfill_ticks t left join runs r on r.id = t.run_id
where t.backfill = $1
order by case t.state when 'started' then 0 when 'succeeded' then 2 else 1 end, t.due_at desc
limit $2
