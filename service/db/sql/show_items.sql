-- How many items of each mapped stage stand where, by their latest attempts.
select stage, state, count(*) as items from (
    select distinct on (stage, item) stage, state from attempts
    where run_id = $1 and item >= 0 and void is null
    order by stage, item, attempt desc
) latest
group by stage, state order by stage, state
