-- First the events of these runs are known to have run; the runs themselves go once everybody can see that.
insert into fates (event_key, pipeline, trigger, fate, reason, run_id, removing)
select r.event_key, r.pipeline, r.trigger, 'ran', 'its run was removed to make room', r.id, true
from runs r
where r.id = any ($1::bigint[]) and r.state in ('succeeded', 'failed', 'cancelled')
order by r.event_key, r.pipeline
on conflict (event_key, pipeline) do update set
    trigger = excluded.trigger, fate = 'ran', reason = excluded.reason, run_id = excluded.run_id, removing = true,
    decided_at = now()
returning run_id
