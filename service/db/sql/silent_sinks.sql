-- Sinks for which nothing was delivered in $1 seconds.
select name from sinks where moved_at < now() - make_interval(secs => $1)
