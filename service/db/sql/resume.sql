-- Finished stages stay; a failed gate is checked anew, as are those in $5; what was tried before no longer counts against the policy. $2 is
-- the epoch the caller saw: what was decided for another state of the run is not done.
with resumed as (
    update runs set
        state = 'queued', ready_at = now(), finished_at = null,
        held = case when sequence is null then '' else 'order' end, failure = null, resume_epoch = epoch, adoptions = 0,
        cancel_requested_at = null, cancelled_by = null, timed_from = null, queue_deadline = null,
        abandoned_at = null, abandoned_by = null, abandon_reason = null, gathering = null,
        version = coalesce($3, version), params = coalesce($4, params)
    where id = $1 and state in ('failed', 'cancelled') and epoch = coalesce($2, epoch)
    returning id, pipeline, sequence
), reopened as (
    delete from gates g using resumed r where g.run_id = r.id and (g.state <> 'passed' or g.gate = any ($5::text[]))
)
select id, pipeline, sequence from resumed
