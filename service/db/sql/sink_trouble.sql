update sinks set note = $2, failing_since = coalesce(failing_since, now()) where name = $1
