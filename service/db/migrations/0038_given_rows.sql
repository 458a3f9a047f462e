-- What the writer gives its busiest statements: one value for each row, which takes both sides half the time that one
-- array for each column takes.
create type given_event as (
    key uuid, source text, id text, type text, subject text, occurred_at timestamptz, envelope bytea
);
create type given_run as (
    event_key uuid, pipeline text, version text, trigger text, params bytea, priority smallint, owner bigint, tags text,
    due_at timestamptz, queue_timeout_s float8, cleans boolean, cause_run bigint, cause_stage text, depth smallint,
    limited boolean, key text, rate_key text, pool text
);
create type given_fate as (event_key uuid, pipeline text, trigger text, fate text, reason text);
create type given_attempt as (
    run_id bigint, epoch integer, stage text, item integer, attempt integer, state text, transient boolean, key uuid,
    reusable boolean, output_digest text, output_codec text, output_size bigint, output_inline bytea, metrics bytea,
    failure bytea, reused_run bigint, child_run bigint, reason text, version text, started_ago_s float8,
    finished_ago_s float8, retry_in_s float8, made_at timestamptz
);
create type given_move as (run_id bigint, epoch integer, state text, ready_in_s float8, failure bytea);
