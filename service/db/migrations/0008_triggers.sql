-- One policy for every trigger: events that share a run, runs that are too many, triggers that are paused.

alter table runs
    -- Of a run that gathers events before it starts: the key they share, while more may join it. It is due at `ready_at`.
    add column gathering text,
    -- How many events it was given; null: the one it was started for.
    add column gathered integer,
    -- Set where its trigger limits how many runs it starts in a time; empty for all of them together.
    add column burst_key text;
-- At most one run gathers for a key. Whoever starts it takes it out of here.
create unique index runs_gathering on runs (pipeline, trigger, gathering)
    where gathering is not null and state = 'queued' and epoch = 0;
create index runs_in_burst on runs (pipeline, trigger, burst_key, queued_at) where burst_key is not null;

-- `place`: the how-manyth event of its run it is; the event that the run was started for is number 0.
alter table fates
    add column place integer,
    drop constraint fates_fate_check,
    add constraint fates_fate_check
        check (fate in ('ran', 'coalesced', 'ignored', 'late', 'paused', 'rate-limited', 'dead')),
    add constraint fates_place_check check (place is null or fate = 'coalesced');

-- What somebody has paused: a trigger of a pipeline, or (no trigger) the whole pipeline.
create table pauses (
    id bigint generated always as identity primary key,
    pipeline text not null,
    trigger text not null default '',
    reason text not null,
    paused_by text not null,
    paused_at timestamptz not null default now(),
    lifted_by text,
    lifted_at timestamptz,
    check ((lifted_at is null) = (lifted_by is null))
);
create unique index pauses_standing on pauses (pipeline, trigger) where lifted_at is null;

-- Goes up with every pause and every end of one. Each flush reads it along with its lease, so that no process decides
-- by pauses it knows from before.
create table pause_changes (
    version bigint not null,
    only_one boolean primary key default true check (only_one)
);
insert into pause_changes (version) values (0);
