-- Runs that follow each other: of one sequence (a partition, say) the next starts only after the one before it has
-- succeeded, or somebody gave that one up. One that may not start yet is `held` as 'order', in no lane.

alter table runs
    add column sequence text,
    drop constraint runs_check4,
    add constraint runs_abandoned_check
        check (abandoned_at is null or state = 'failed' or (state = 'cancelled' and sequence is not null)),
    add constraint runs_order_check check (held <> 'order' or sequence is not null);

-- Those that have still to succeed, from the head of their sequence.
create index runs_in_sequence on runs (sequence, id)
    where sequence is not null and state <> 'succeeded' and abandoned_at is null;
-- Those of them that only a person can make go on.
create index runs_stopping on runs (pipeline, trigger, id)
    where sequence is not null and state in ('failed', 'cancelled') and abandoned_at is null;
