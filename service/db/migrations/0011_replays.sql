-- Replays: runs made of an event that had its run already, and what such a run in shadow would have done outside.

create table replays (
    run_id bigint primary key,
    of_event uuid not null
);
create index replays_by_event on replays (of_event);

-- What a stage of a run in shadow would have done, in its order: a JSON object each. Written with its attempt.
create table fenced_effects (
    run_id bigint not null,
    stage text not null,
    item integer not null,
    attempt integer not null,
    place integer not null,
    effect bytea not null,
    primary key (run_id, stage, item, attempt, place)
);
