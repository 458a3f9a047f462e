-- Gates: the votes of people, everything found before the latest, and by when somebody must have decided.

alter table gates
    -- Set when a gate is first put for a subject; asking the same again does not move it.
    add column expires_at timestamptz;

-- What people said at a gate about one artifact. `role` is the name or group of the gate's `by` that lets the person
-- decide, null where anybody may. The rows of a subject go when the gate is asked anew about it; the history stays.
create table gate_votes (
    run_id bigint not null,
    gate text not null,
    subject text not null,
    by text not null,
    decision text not null check (decision in ('approved', 'rejected')),
    reason text not null,
    at timestamptz not null default clock_timestamp(),
    role text,
    event_key uuid,
    primary key (run_id, gate, subject, by)
);

-- Every check and decision. `report` is the digest of the evidence where it is too large for the row, which then holds
-- a shortened one: that artifact is in the store.
create table gate_history (
    run_id bigint not null,
    gate text not null,
    seq bigint generated always as identity,
    state text not null check (state in ('passed', 'failed', 'waiting')),
    reason text not null,
    evidence bytea not null,
    subject text not null,
    decided_by text not null,
    decided_at timestamptz not null default clock_timestamp(),
    report text,
    report_size bigint,
    primary key (run_id, gate, seq),
    check ((report is null) = (report_size is null))
);
create index gate_history_reports on gate_history (run_id, report) where report is not null;

insert into gate_history (run_id, gate, state, reason, evidence, subject, decided_by, decided_at)
select run_id, gate, state, reason, evidence, subject, decided_by, decided_at from gates order by run_id, decided_at;

-- Before this there was one vote for a gate, told by its evidence.
insert into gate_votes (run_id, gate, subject, by, decision, reason, at, event_key)
select run_id, gate, subject, decided_by, told ->> 'decision', reason, decided_at, (told ->> 'event')::uuid
from (
    select run_id, gate, subject, decided_by, reason, decided_at, convert_from(evidence, 'UTF8')::json as told
    from gates where state <> 'waiting' and position('"decision":'::bytea in evidence) > 0
) decided
where told ->> 'decision' in ('approved', 'rejected');
