-- Limits: how many runs may be under way at once, by pipeline, key and pool, and how fast they may start.

alter table runs
    -- Read from the event when it was accepted; null: nothing of this kind limits the run. `rate_key` is empty for a
    -- rate without a key.
    add column key text,
    add column rate_key text,
    -- The pool it takes a place of while it runs, and whether anything limits it: as the process that claimed it last
    -- knew its pipeline, or else the one that accepted it.
    add column pool text,
    add column limited boolean not null default false,
    -- The lane in which it was found to have to wait (see `lanes`), empty for the ready runs that a claim looks at.
    add column held text not null default '';

-- Ready runs of one pipeline, lane and priority are a line: those that have begun before those that have not, first
-- come first served.
drop index runs_ready;
create index runs_in_line on runs (pipeline, held, priority, (least(epoch, 1)), ready_at, id) where ready_at is not null;
drop index runs_owned;
create index runs_owned on runs (owner, pipeline) where owner is not null;
create index runs_limited on runs (pipeline, key, pool) where owner is not null and limited;
create index runs_of_key on runs (pipeline, key, id) where key is not null and finished_at is null;
create index runs_started on runs (pipeline, rate_key, started_at) where rate_key is not null and started_at is not null;

-- Where runs wait behind others of the same key (`key:...`, as long as one of these runs) or of the same rate
-- (`rate:...`, until `opens_at`). Claims alone write here, one at a time, so that a run is found blocked once and not
-- by every claim. A held run's lane is here.
create table lanes (
    pipeline text not null,
    lane text not null,
    opens_at timestamptz not null,
    primary key (pipeline, lane)
) with (fillfactor = 70);
create index lanes_by_opening on lanes (pipeline, opens_at);

-- What each pool holds, as the daemon that started last was told.
create table pools (
    name text primary key,
    capacity integer not null check (capacity > 0),
    set_at timestamptz not null default now()
);
