-- Events from the place $1 up to, not including, $2, oldest first, with what became of them.
select e.seq, e.key, e.accepted_at, e.envelope,
    coalesce((
        select json_agg(json_build_object('pipeline', o.pipeline, 'trigger', o.trigger, 'fate', o.fate,
                                          'reason', o.reason, 'run', o.run_id) order by o.pipeline)
        from outcomes o
        where o.event_key = e.key and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ), '[]')::text as outcomes
from events e
where e.seq >= $1 and e.seq < $2 and e.accepted_at >= $3 and e.accepted_at < $4
    and ($5::text is null or e.source = $5)
order by e.seq
limit $6
