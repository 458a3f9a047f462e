-- Events that share a run with the one it was started for. One that was ignored before is so no more.
insert into fates (event_key, pipeline, trigger, fate, reason, run_id, place)
select event_key, pipeline, trigger, 'coalesced', reason, run_id, place
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[])
    as g (event_key, pipeline, trigger, reason, run_id, place)
where not exists (select from runs r where r.event_key = g.event_key and r.pipeline || '' = g.pipeline)
on conflict (event_key, pipeline) do update set
    trigger = excluded.trigger, fate = excluded.fate, reason = excluded.reason, run_id = excluded.run_id,
    place = excluded.place, decided_at = now()
where fates.fate = 'ignored' and fates.reason not like 'dropped: %'
returning event_key
