-- How many runs of a pipeline and rate key were started in the last $3 seconds.
select count(*) as started from runs
where pipeline = $1 and rate_key = $2 and started_at > now() - make_interval(secs => $3)
