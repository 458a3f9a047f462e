-- Which pause held an event back. Whose times lie together may be of two pauses: a transaction that accepts events may
-- begin before the one that pauses, and read the pause all the same.

alter table fates
    add column pause bigint,
    add constraint fates_pause_check check (pause is null or fate = 'paused');

update fates f set pause = p.id
from pauses p
where f.fate = 'paused' and f.pipeline = p.pipeline and p.trigger in ('', f.trigger)
    and f.decided_at >= p.paused_at and (p.lifted_at is null or f.decided_at < p.lifted_at);
