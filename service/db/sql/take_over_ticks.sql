-- Ticks that were recorded and did not run are the backfill's now: what was decided of them no longer counts, and the
-- event says that it was backfilled.
with overruled as (
    delete from fates f
    using unnest($1::uuid[]) as g (event_key)
    where f.event_key = g.event_key and f.pipeline = $3 and f.fate not in ('ran', 'coalesced')
    returning f.event_key, f.fate, f.reason
), told as (
    update events e set envelope = g.envelope
    from unnest($1::uuid[], $2::bytea[]) as g (event_key, envelope)
    where e.key = g.event_key and e.key in (select event_key from overruled)
)
select event_key, 'was ' || fate || ': ' || reason as told from overruled
