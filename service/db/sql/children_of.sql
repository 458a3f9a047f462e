-- The sub-runs of a run that are not over.
select id from runs where cause_run = $1 and parent_run = $1 and state in ('queued', 'running', 'waiting')
