-- What stages log, with its structure. `source` tells records of logging from lines of stdout and stderr, `fields` is
-- JSON, `line` the place in the attempt, so that a write that is repeated writes nothing twice.
alter table stage_logs
    add column line integer,
    add column source text not null default 'log' check (source in ('log', 'stdout', 'stderr')),
    add column logger text not null default '',
    add column fields bytea;

-- What an attempt logged beyond its first lines: an artifact of JSON lines, gzip'ed. `seq` is its place among the rows.
create table stage_log_files (
    run_id bigint not null,
    seq bigint not null default nextval('stage_logs_seq_seq'),
    stage text not null,
    item integer not null,
    attempt integer not null,
    digest text not null,
    lines integer not null,
    size_bytes bigint not null,
    dropped_lines bigint not null,
    stored_at timestamptz not null default now(),
    primary key (run_id, seq),
    unique (run_id, stage, item, attempt)
);
