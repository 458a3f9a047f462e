-- Events below the place $3; with a fate ($5), those that have it in some pipeline. Nobody listened: ignored. No index
-- helps with any of it: where there is something to look for, $6 says where to stop.
select e.seq, e.key, e.source, e.id, e.type, e.subject, e.occurred_at, e.accepted_at,
    coalesce((
        select json_agg(json_build_object('pipeline', o.pipeline, 'trigger', o.trigger, 'fate', o.fate,
                                          'reason', o.reason, 'run', o.run_id) order by o.pipeline)
        from outcomes o
        where o.event_key = e.key and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ), '[]')::text as outcomes
from events e
where ($1::text is null or e.type = $1 or starts_with(e.type, $1 || '.')) and ($2::text is null or e.source = $2)
    and ($3::bigint is null or e.seq < $3) and ($6::bigint is null or e.seq >= $6)
    and ($7::text is null or strpos(lower(concat_ws(' ', e.subject, e.id, e.source, e.type)), lower($7)) > 0)
    and ($5::text is null or $5 = any (coalesce(nullif(array(
        select o.fate from outcomes o
        where o.event_key = e.key and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ), '{}'), '{ignored}')))
    and (($8::text is null and $9::text is null) or exists (
        select from outcomes o
        where o.event_key = e.key and ($8 is null or o.pipeline = $8) and ($9 is null or o.trigger = $9)
            and (not o.marked or not exists (select from runs r where r.id = o.run_id))
    ))
order by e.seq desc
limit $4
