-- Twice is once. The version goes up in any case: to wait for its row keeps pauses in the order in which they are made.
with changed as (
    update pause_changes set version = version + 1
)
insert into pauses (pipeline, trigger, reason, paused_by) values ($1, $2, $3, $4)
on conflict (pipeline, trigger) where lifted_at is null do nothing
returning id
