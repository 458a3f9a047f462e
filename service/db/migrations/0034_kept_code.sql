-- The code of a pipeline version: its archive among the artifacts, or why none is kept; and what it was loaded beside.
alter table pipelines
    add column spec text,
    add column code text,
    add column code_bytes integer,
    add column code_missing text,
    add column made_with bytea,
    add constraint pipelines_code_check check (code is null or (spec is not null and code_bytes is not null));

-- Runs that are for kept code are `held` as 'version', in no lane: who runs that code looks for them here.
create index runs_for_kept_code on runs (pipeline, version, ready_at) where held = 'version' and ready_at is not null;
