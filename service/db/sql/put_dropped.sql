-- Events whose run was not started because another of its key had not finished. A repeat finds this.
insert into fates (event_key, pipeline, trigger, fate, reason)
select event_key, pipeline, trigger, 'ignored', reason
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as g (event_key, pipeline, trigger, reason)
on conflict (event_key, pipeline) do update set trigger = excluded.trigger, reason = excluded.reason
where fates.fate = 'ignored'
