-- Attempts as they start and end. Only the owner's epoch may write; times are the database's, moved back by how long
-- ago the worker says it was. An attempt that waits for a sub-run is ended by whoever owns the run by then. (Lateral with
-- a limit: each given row finds its run by the key, whatever the planner thinks of a table it has no statistics of.)
with given as (
    select * from unnest($1::given_attempt[]) g
), put as (
    insert into attempts (
        run_id, epoch, stage, item, attempt, state, transient, key, reusable, output_digest, output_codec, output_size,
        output_inline, metrics, failure, reused_run, child_run, reason, version, made_at, started_at, finished_at, retry_at
    )
    select g.run_id, g.epoch, g.stage, g.item, g.attempt, g.state, g.transient, g.key, g.reusable, g.output_digest,
        g.output_codec, g.output_size, g.output_inline, g.metrics, g.failure, g.reused_run, g.child_run, g.reason,
        g.version, g.made_at,
        clock_timestamp() - make_interval(secs => g.started_ago_s),
        clock_timestamp() - make_interval(secs => g.finished_ago_s),
        clock_timestamp() + make_interval(secs => g.retry_in_s)
    from given g cross join lateral (
        select from runs r where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1
    ) mine
    on conflict (run_id, stage, item, attempt) do update set
        epoch = excluded.epoch, state = excluded.state, transient = excluded.transient, key = excluded.key,
        reusable = excluded.reusable,
        output_digest = excluded.output_digest, output_codec = excluded.output_codec,
        output_size = excluded.output_size, output_inline = excluded.output_inline, metrics = excluded.metrics,
        failure = excluded.failure, reused_run = excluded.reused_run, child_run = excluded.child_run,
        reason = excluded.reason, made_at = excluded.made_at, finished_at = excluded.finished_at,
        retry_at = excluded.retry_at
    where attempts.epoch = excluded.epoch or attempts.state = 'waiting'
    returning run_id, stage, item, attempt
)
select p.run_id, p.stage, p.item, p.attempt, r.cancel
from put p cross join lateral (
    select cancel_requested_at is not null as cancel from runs where id = p.run_id limit 1
) r
