-- Runs that nobody started in time.
update runs set
    state = 'failed', ready_at = null, finished_at = now(),
    failure = convert_to(json_build_object('stage', '', 'reason', format(
        'nobody started it within %s s', extract(epoch from queue_deadline - queued_at)::numeric::float8
    ))::text, 'utf8')
where id in (
    select id from runs where state = 'queued' and queue_deadline <= now() order by queue_deadline limit 500
    for no key update skip locked
)
returning id, pipeline, parent_run
