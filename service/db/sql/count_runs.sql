-- Unfinished runs by pipeline and state; what has finished is counted by the processes that finish it.
select pipeline, state, count(*) as runs from runs where state in ('queued', 'running', 'waiting') group by 1, 2
