-- Finished stages stay; a failed gate is checked anew; what was tried before no longer counts against the policy.
with resumed as (
    update runs set
        state = 'queued', ready_at = now(), finished_at = null, failure = null, resume_epoch = epoch, adoptions = 0,
        cancel_requested_at = null, cancelled_by = null
    where id = $1 and state in ('failed', 'cancelled')
    returning id, pipeline
), reopened as (
    delete from gates g using resumed r where g.run_id = r.id and g.state <> 'passed'
)
select id, pipeline from resumed
