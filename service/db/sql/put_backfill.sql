-- A backfill that somebody asks for; asking again answers with the one there is.
with made as (
    insert into backfills (
        request, pipeline, trigger, schedule, from_at, to_at, newest_first, again, stop_on_failure, max_parallel,
        priority, asked_by, total
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    on conflict (request) do nothing
    returning id
)
select id, true as made from made
union all
select id, false from backfills where request = $1
