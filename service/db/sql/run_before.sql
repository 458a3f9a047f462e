-- The newest run of a pipeline that was begun before this one.
select id from runs where pipeline = $1 and id < $2 and started_at is not null order by id desc limit 1
