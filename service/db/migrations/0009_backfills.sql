-- Backfills: a schedule's ticks of a stretch of time, run at the bidding of a person.

create table backfills (
    id bigint generated always as identity primary key,
    -- What the asker called it: asking again is no second backfill.
    request text not null unique,
    pipeline text not null,
    trigger text not null,
    -- What the schedule was when it was asked for: one that has changed since has other ticks.
    schedule text not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    newest_first boolean not null,
    again boolean not null,
    stop_on_failure boolean not null,
    max_parallel integer not null check (max_parallel > 0),
    priority smallint not null,
    asked_by text not null,
    asked_at timestamptz not null default now(),
    -- How many ticks there are, up to which one they were looked at, and what became of those.
    total integer not null,
    reached_at timestamptz,
    known integer not null default 0,
    refused integer not null default 0,
    started integer not null default 0,
    succeeded integer not null default 0,
    failed integer not null default 0,
    cancelled integer not null default 0,
    -- Why no more ticks are started.
    halted text,
    stopped_by text,
    state text not null default 'running' check (state in ('running', 'succeeded', 'failed', 'stopped')),
    finished_at timestamptz,
    check ((state = 'running') = (finished_at is null)),
    check (from_at <= to_at)
) with (fillfactor = 70);
create index backfills_running on backfills (id) where state = 'running';

-- The ticks that a backfill started or could not start. `state` is `started` while the run is under way.
create table backfill_ticks (
    backfill bigint not null,
    due_at timestamptz not null,
    state text not null check (state in ('started', 'succeeded', 'failed', 'cancelled', 'refused')),
    run_id bigint,
    reason text not null default '',
    primary key (backfill, due_at),
    check ((state = 'refused') = (run_id is null))
) with (fillfactor = 70);
create index backfill_ticks_started on backfill_ticks (backfill) where state = 'started';
