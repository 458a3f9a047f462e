-- Micro-batches read no record twice: in each partition, a batch begins after the end of the one before it.
select format(
    'batches of %s[%s] for %s: %s to %s begins before %s, the end of another', b.topic, b.partition, b.pipeline, b.first,
    b.last, b.before
) as what
from (
    select d.*, lag(d.last) over line as before
    from (
        select o.pipeline, o.trigger, e.source, t.data ->> 'cluster' as cluster, t.data ->> 'topic' as topic,
            coalesce(t.data ->> 'topic_id', '') as topic_id, (t.data ->> 'partition')::int as partition,
            coalesce(t.data ->> 'key', '') as key, (t.data ->> 'first_offset')::bigint as first,
            (t.data ->> 'last_offset')::bigint as last
        from events e
        join outcomes o on o.event_key = e.key
        cross join lateral (select convert_from(e.envelope, 'utf8')::json -> 'data' as data) t
        where e.type = 'dev.tidemill.kafka.batch' and not exists (select from replays p where p.run_id = o.run_id)
    ) d
    window line as (
        partition by d.pipeline, d.trigger, d.source, d.cluster, d.topic, d.topic_id, d.partition, d.key order by d.first
    )
) b
where b.first <= b.before
limit $1
