-- Of which stage of its sub-run a waiting attempt takes the output; nothing: a summary.
select reason as output from attempts where run_id = $1 and stage = $2 and item = $3 and attempt = $4
