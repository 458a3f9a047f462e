-- How much waits for a person: gates of runs that go on, and failed runs.
select (
    select count(*) from gates g join runs r on r.id = g.run_id
    where g.state = 'waiting' and r.state in ('queued', 'running', 'waiting')
) as gates, (
    select count(*) from runs where state = 'failed' and abandoned_at is null and trigger <> 'replay:shadow'
) as reviews
