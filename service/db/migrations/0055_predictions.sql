-- How many predictions each version of a model has answered, by the day (in UTC) and by who asked. Each process counts
-- for itself, as `teller`, and writes what it has counted of a day so far: written again it is the same.
create table predictions (
    model text not null,
    version integer not null,
    day date not null,
    caller text not null,
    teller uuid not null,
    answered bigint not null check (answered > 0),
    first_at timestamptz not null,
    last_at timestamptz not null check (last_at >= first_at),
    latest timestamptz[] not null,
    primary key (model, version, day, caller, teller)
);
create index predictions_by_day on predictions (day);
