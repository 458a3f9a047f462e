-- Forget what runs logged that finished more than $1 days ago, about $2 runs at a time: repeat it until nothing is
-- deleted. Answers the digests of their log files, which may be swept from the store where no other row names them.
-- (The recursion steps from run to run in the index, so that runs without logs cost nothing.)
with recursive logged as (
    (select run_id from stage_logs order by run_id limit 1)
    union all
    select (select l.run_id from stage_logs l where l.run_id > logged.run_id order by l.run_id limit 1)
    from logged where logged.run_id is not null
), old as (
    (
        select r.id from logged join runs r on r.id = logged.run_id
        where r.finished_at < now() - make_interval(days => $1) limit $2
    )
    union
    (
        select r.id from stage_log_files f join runs r on r.id = f.run_id
        where r.finished_at < now() - make_interval(days => $1) limit $2
    )
), forgotten as (
    delete from stage_logs l using old where l.run_id = old.id
)
delete from stage_log_files f using old where f.run_id = old.id returning f.digest
