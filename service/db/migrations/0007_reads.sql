-- Reading runs as data, and taking away what nobody needs any more.

create index runs_by_tag on runs using gin (tags jsonb_path_ops) where tags <> '[]';
create index runs_by_parent on runs (parent_run) where parent_run is not null;
create index model_versions_by_run on model_versions (run_id) where run_id is not null;

-- What refers to an artifact of the store; small outputs live in the row and are in no store.
create index attempts_by_output on attempts (output_digest) where output_digest is not null and output_inline is null;

create index stage_log_files_by_digest on stage_log_files (digest);
create index gate_history_by_report on gate_history (report) where report is not null;
create index attempts_gathered on attempts (run_id, stage) where output_codec = 'gathered';

-- What is left of a run that was removed: its event is known to have run, so a repeat of it starts nothing. While
-- `removing`, the run is still there.
alter table fates
    add column removing boolean not null default false,
    drop constraint fates_fate_check,
    drop constraint fates_check,
    add constraint fates_fate_check check (fate in ('ran', 'coalesced', 'ignored', 'late', 'dead')),
    add constraint fates_check check ((fate in ('ran', 'coalesced')) = (run_id is not null)),
    add constraint fates_removing_check check (not removing or fate = 'ran');
create index fates_removing on fates (run_id) where removing;
create index fates_by_run on fates (run_id) where run_id is not null;

-- An outcome that is `marked` counts only once its run is gone: until then the run itself tells it. (Not said in here,
-- because the planner looks through a union only where its parts have no conditions.)
create or replace view outcomes as
    select event_key, pipeline, trigger, 'ran' as fate, '' as reason, id as run_id, queued_at as decided_at,
        false as marked
    from runs
    union all
    select event_key, pipeline, trigger, fate, reason, run_id, decided_at, fate = 'ran' from fates;
