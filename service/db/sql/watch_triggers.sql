-- $3: how many seconds ago it was heard of, null for not at all. What was expected otherwise before is waited for anew.
insert into trigger_watches as w (binding, expect_every_s, last_seen_at)
select binding, expect_every_s, clock_timestamp() - make_interval(secs => seen_ago_s)
from unnest($1::text[], $2::float8[], $3::float8[]) as g (binding, expect_every_s, seen_ago_s)
on conflict (binding) do update set
    since = case when w.expect_every_s = excluded.expect_every_s then w.since else now() end,
    expect_every_s = excluded.expect_every_s,
    last_seen_at = greatest(w.last_seen_at, excluded.last_seen_at)
where w.expect_every_s <> excluded.expect_every_s
    -- A clock that is asked twice is a little off each time.
    or excluded.last_seen_at > coalesce(w.last_seen_at, '-infinity') + interval '0.1 s'
