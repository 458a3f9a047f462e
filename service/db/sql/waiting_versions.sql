-- The versions whose kept code has runs to drive, and in how many seconds the first of each is ready.
select r.pipeline, r.version, p.spec, p.code, p.made_with,
    greatest(extract(epoch from min(r.ready_at) - now()), 0)::float8 as ready_in_s
from runs r left join pipelines p on p.name = r.pipeline and p.version = r.version
where r.held = 'version' and r.ready_at is not null
group by r.pipeline, r.version, p.spec, p.code, p.made_with
order by min(r.ready_at), r.pipeline, r.version
