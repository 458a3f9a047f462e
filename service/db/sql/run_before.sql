-- The newest run of the same pipeline that was begun before this one.
select b.id from runs r join runs b on b.pipeline = r.pipeline and b.id < r.id and b.started_at is not null
where r.id = $1
order by b.id desc
limit 1
