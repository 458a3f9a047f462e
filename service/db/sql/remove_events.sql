-- Of the $3 events after $1 the old ones that no run came of, or whose run is gone, and that are in no run. A repeat of one is a new event. With them
-- is noted when the newest of them was accepted.
with looked_at as materialized (
    select key, seq, accepted_at from events where seq > $1 order by seq limit $3
), old as materialized (
    select key, accepted_at from looked_at where accepted_at < now() - make_interval(secs => $2)
), unused as materialized (
    select o.key, o.accepted_at from old o
    where not exists (select from runs r where r.event_key = o.key)
        and not exists (select from fates f join runs r on r.id = f.run_id where f.event_key = o.key)
        and not exists (select from fates f where f.event_key = o.key and f.removing)
), fated as (
    delete from fates f using unused u where f.event_key = u.key
), gone as (
    delete from events e using unused u where e.key = u.key returning e.key, u.accepted_at
), noted as (
    insert into events_removed (until) select max(accepted_at) from gone having count(*) > 0
    on conflict (single) do update set until = greatest(events_removed.until, excluded.until)
)
-- Events are numbered nearly as they are accepted: where none is old, none that follows is.
select (select max(seq) from looked_at where exists (select from old)) as last, (select count(*) from gone) as events
