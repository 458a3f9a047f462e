-- An event by its key, or every event that has this id (it is unique only within its source).
select e.seq, e.key, e.source, e.id, e.type, e.subject, e.occurred_at, e.accepted_at, e.envelope,
    coalesce((
        select json_agg(json_build_object('pipeline', o.pipeline, 'trigger', o.trigger, 'fate', o.fate,
                                          'reason', o.reason, 'run', o.run_id) order by o.pipeline)
        from outcomes o
        where o.event_key = e.key and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ), '[]')::text as outcomes
from events e
where e.key = $1::uuid or (left(e.id, 200) = left($2::text, 200) and e.id = $2)
order by e.seq desc
limit 20
