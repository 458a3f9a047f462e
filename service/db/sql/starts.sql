-- How many seconds before $5 the latest runs of a pipeline and rate key first started, as far as its rate looks back.
select g.pipeline, g.rate_key, array(
    select extract(epoch from $5 - r.started_at)::float8 from runs r
    where r.pipeline = g.pipeline and r.rate_key = g.rate_key
        and r.started_at > $5::timestamptz - make_interval(secs => g.per_s)
    order by r.started_at desc
    limit g.most
) as ago_s
from unnest($1::text[], $2::text[], $3::float8[], $4::int[]) as g (pipeline, rate_key, per_s, most)
