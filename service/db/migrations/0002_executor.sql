-- The executor, complete: mapped stages, sub-runs, skipped stages, resuming with changes, deadlines, reviews.

alter table runs
    -- Whether its owner had begun something for it that might have brought the owner down.
    add column blamed boolean not null default false,
    add column tags jsonb not null default '[]',
    -- The run whose stage caused this one, by an event or as a sub-run, and how many such causes lie behind it.
    add column cause_run bigint,
    add column cause_stage text,
    add column depth smallint not null default 0,
    -- The run that waits for this one, if any.
    add column parent_run bigint,
    -- A run that must clean up when it is cancelled is driven to its end; others end where they stand.
    add column cleans boolean not null default false,
    add column queue_deadline timestamptz,
    -- From when the run's own timeout counts: its first claim, or its first one after it was resumed.
    add column timed_from timestamptz,
    add column due_at timestamptz,
    add column late_at timestamptz,
    -- A person closed the review of a failed run without resuming it.
    add column abandoned_at timestamptz,
    add column abandoned_by text,
    add column abandon_reason text,
    add check (abandoned_at is null or state = 'failed');
drop index runs_failed;
create index runs_in_review on runs (id) where state = 'failed' and abandoned_at is null;
create index runs_by_cause on runs (cause_run) where cause_run is not null;
create index runs_to_start_by on runs (queue_deadline) where state = 'queued' and queue_deadline is not null;
create index runs_due on runs (due_at)
    where due_at is not null and late_at is null and state in ('queued', 'running', 'waiting');

-- `item` is the place in the list that a mapped stage works through, -1 for a stage as a whole. `reusable`: any run may
-- take the result. `void`: it counts no longer in its own run; a `forced` one is given to nobody else either.
-- `child_run` is the sub-run that a waiting attempt waits for.
alter table attempts
    add column item integer not null default -1,
    add column version text,
    add column reusable boolean not null default false,
    add column void text check (void in ('stale', 'forced')),
    add column child_run bigint,
    add column reason text,
    add column progress real,
    add column note text,
    add column progress_at timestamptz;
update attempts set reusable = true where key is not null;
alter table attempts
    drop constraint attempts_pkey,
    drop constraint attempts_state_check,
    drop constraint attempts_check2,
    add primary key (run_id, stage, item, attempt),
    add check (state in ('running', 'waiting', 'succeeded', 'failed', 'lost', 'cancelled', 'reused', 'skipped')),
    add check ((state in ('running', 'waiting')) = (finished_at is null)),
    add check ((state = 'waiting') <= (child_run is not null));
drop index attempts_by_key;
create index attempts_by_key on attempts (key, finished_at desc)
    where state = 'succeeded' and reusable and void is null;

alter table stage_logs add column item integer not null default -1;

-- What people did to a run: resumed, amended, skipped, cancelled, abandoned.
create table run_actions (
    run_id bigint not null,
    seq bigint generated always as identity,
    at timestamptz not null default now(),
    action text not null,
    by text not null,
    detail bytea not null,
    primary key (run_id, seq)
);
