-- Old events that no run came of, or whose run is gone, and that are in no run. A repeat of one is a new event. With them
-- is noted when the newest of them was accepted.
with old as materialized (
    select e.key, e.seq, e.accepted_at from events e
    where e.seq > $1 and e.accepted_at < now() - make_interval(secs => $2)
    order by e.seq
    limit $3
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
select (select max(seq) from old) as last, (select count(*) from gone) as events
