-- The newest event that retention has removed: whatever was accepted later and is not there was not removed by it.
create table events_removed (
    single boolean primary key default true check (single),
    until timestamptz not null
);
