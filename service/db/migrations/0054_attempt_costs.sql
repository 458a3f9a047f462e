-- What an attempt cost that was made in a process of its own: measured there, and only there.
create table attempt_costs (
    run_id bigint not null,
    stage text not null,
    item integer not null,
    attempt integer not null,
    cpu_s double precision not null check (cpu_s >= 0),
    memory_bytes bigint check (memory_bytes > 0),
    primary key (run_id, stage, item, attempt)
);
