-- The spine: events come in, runs come out, attempts and gates tell what happened in between.

create table installation (
    id uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now(),
    only_one boolean primary key default true check (only_one)
);
insert into installation default values;

-- One row for each process. Every flush of its writer renews `renewed_at`; a process whose row is no longer 'alive'
-- cannot write, and its runs belong to whoever set it to 'lapsed'.
create table daemons (
    id bigint generated always as identity primary key,
    host text not null,
    pid integer not null,
    roles text[] not null,
    version text not null,
    lease_s double precision not null check (lease_s > 0),
    state text not null default 'alive' check (state in ('alive', 'stopped', 'lapsed')),
    started_at timestamptz not null default now(),
    renewed_at timestamptz not null default now()
) with (fillfactor = 50);

create table pipelines (
    name text not null,
    version text not null,
    definition bytea not null,
    first_seen_at timestamptz not null default now(),
    primary key (name, version)
);

-- Accepted events. `envelope` is the CloudEvent in its structured JSON form, as bytes: nothing a sender writes can
-- make it unstorable.
create table events (
    key uuid primary key,
    seq bigint generated always as identity,
    source text not null,
    id text not null,
    type text not null,
    subject text,
    occurred_at timestamptz not null,
    accepted_at timestamptz not null default now(),
    envelope bytea not null
);
create unique index events_by_seq on events (seq);
-- A hash, because an id may be longer than what a B-tree holds.
create index events_by_id on events using hash (id);

-- One execution of one pipeline version for one event. `ready_at` is when it may be claimed, null while it may not:
-- the claim's index holds only those rows.
create table runs (
    id bigint generated always as identity primary key,
    pipeline text not null,
    version text not null,
    event_key uuid not null,
    trigger text not null,
    params bytea not null,
    state text not null check (state in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
    epoch integer not null default 0,
    owner bigint,
    ready_at timestamptz,
    priority smallint not null default 0,
    adoptions smallint not null default 0,
    poked boolean not null default false,
    resume_epoch integer not null default 0,
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    cancelled_by text,
    failure bytea,
    unique (event_key, pipeline),
    check ((state = 'running') = (owner is not null)),
    check (state <> 'queued' or ready_at is not null),
    check (state in ('queued', 'waiting') or ready_at is null),
    check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
) with (fillfactor = 80);
create index runs_ready on runs (priority desc, ready_at) where ready_at is not null;
create index runs_owned on runs (owner) where owner is not null;
create index runs_by_pipeline on runs (pipeline, id);
create index runs_live on runs (id) where state in ('queued', 'running', 'waiting');
create index runs_failed on runs (id) where state = 'failed';

-- The fate of an event in a pipeline where it did not start a run of its own; where it did, the run is its fate.
create table fates (
    event_key uuid not null,
    pipeline text not null,
    trigger text not null,
    fate text not null check (fate in ('coalesced', 'ignored', 'late', 'dead')),
    reason text not null,
    run_id bigint,
    decided_at timestamptz not null default now(),
    primary key (event_key, pipeline),
    check ((fate = 'coalesced') = (run_id is not null))
);

create view outcomes as
    select event_key, pipeline, trigger, 'ran' as fate, '' as reason, id as run_id, queued_at as decided_at from runs
    union all
    select event_key, pipeline, trigger, fate, reason, run_id, decided_at from fates;

-- One try of one stage. `key` is set where the result may be used again by any run; a result used again tells which run
-- made it (`reused_run`) and when (`made_at`).
create table attempts (
    run_id bigint not null,
    stage text not null,
    attempt integer not null,
    epoch integer not null,
    state text not null check (state in ('running', 'succeeded', 'failed', 'lost', 'cancelled', 'reused')),
    transient boolean,
    key uuid,
    output_digest text,
    output_codec text,
    output_size bigint,
    output_inline bytea,
    metrics bytea,
    failure bytea,
    reused_run bigint,
    made_at timestamptz,
    started_at timestamptz not null,
    finished_at timestamptz,
    retry_at timestamptz,
    primary key (run_id, stage, attempt),
    check ((state in ('succeeded', 'reused')) = (output_digest is not null)),
    check ((state = 'failed') = (transient is not null)),
    check ((state = 'running') = (finished_at is null))
);
create index attempts_by_key on attempts (key) where state = 'succeeded' and key is not null;

-- What was checked on the arrow between two stages. `subject` is the digest of the artifact it was decided for.
create table gates (
    run_id bigint not null,
    gate text not null,
    source text not null,
    target text not null,
    state text not null check (state in ('passed', 'failed', 'waiting')),
    reason text not null,
    evidence bytea not null,
    subject text not null,
    decided_by text not null,
    decided_at timestamptz not null default now(),
    primary key (run_id, gate)
);
create index gates_waiting on gates (run_id) where state = 'waiting';

-- How far each source was read: Kafka offsets, files seen, the last tick of a schedule.
create table positions (
    scope text not null,
    key text not null,
    value text not null,
    moved_at timestamptz not null default now(),
    primary key (scope, key)
) with (fillfactor = 70);

-- Every transition, one row for each flush. Read in the order (xid, seq), up to the oldest transaction in progress.
create table run_log (
    seq bigint generated always as identity primary key,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default now(),
    daemon bigint not null,
    entries bytea not null
);

create table stage_logs (
    seq bigint generated always as identity,
    run_id bigint not null,
    stage text not null,
    attempt integer not null,
    at timestamptz not null,
    level text not null,
    message text not null,
    primary key (run_id, seq)
);

create table trigger_statuses (
    binding text not null,
    daemon bigint not null,
    status bytea not null,
    reported_at timestamptz not null default now(),
    primary key (binding, daemon)
) with (fillfactor = 50);

create table model_versions (
    model text not null,
    version integer not null,
    state text not null check (state in ('staging', 'production', 'archived')),
    artifacts bytea not null,
    metrics bytea not null,
    lineage bytea not null,
    run_id bigint,
    pipeline text,
    idempotency_key text not null unique,
    created_at timestamptz not null default now(),
    primary key (model, version)
);

create table model_aliases (
    model text not null,
    alias text not null,
    version integer not null,
    moved_at timestamptz not null default now(),
    primary key (model, alias),
    foreign key (model, version) references model_versions (model, version)
);
