select count(*) as events from events e
where e.accepted_at < now() - make_interval(secs => $1)
    and not exists (select from runs r where r.event_key = e.key and r.id <> all ($2::bigint[]))
    and not exists (
        select from fates f join runs r on r.id = f.run_id where f.event_key = e.key and r.id <> all ($2::bigint[])
    )
