-- Unfinished runs by pipeline and state, and how many of them are late; what has finished is counted by the processes that
-- finish it.
select pipeline, state, count(*) as runs, count(late_at) as late from runs
where state in ('queued', 'running', 'waiting') and id > 0 group by 1, 2
