-- One-time links by which a person decides a gate, and what a trigger is waited for.

-- Kept by the first daemon that makes a link where the setting `http.link_key` names no key.
alter table installation add column link_key bytea check (length(link_key) = 32);

-- A link lets one person decide one gate one way, about one artifact, once. `used_at` is written together with the vote.
create table gate_links (
    id uuid primary key,
    run_id bigint not null,
    gate text not null,
    subject text not null,
    person text not null,
    decision text not null check (decision in ('approved', 'rejected')),
    made_by text not null,
    made_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    check (expires_at > made_at)
);
create index gate_links_by_run on gate_links (run_id);

-- One row for each trigger with `expect_every_s`. `silent_since` is set while an alarm stands: by whichever daemon saw
-- it first, once for all of them.
create table trigger_watches (
    binding text primary key,
    expect_every_s double precision not null check (expect_every_s > 0),
    since timestamptz not null default now(),
    last_seen_at timestamptz,
    silent_since timestamptz
) with (fillfactor = 50);
