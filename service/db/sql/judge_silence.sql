-- Who turned silent, or was heard again. Daemons tell what they heard every two seconds: so much longer is waited.
with heard as (
    select binding, greatest(since, last_seen_at) as at, expect_every_s from trigger_watches where binding = any($1)
)
update trigger_watches w set silent_since = case when w.silent_since is null then h.at end
from heard h
where w.binding = h.binding and case
    when w.silent_since is null
        then h.at + make_interval(secs => h.expect_every_s + least(5, h.expect_every_s)) < clock_timestamp()
    else greatest(w.since, w.last_seen_at) > w.silent_since
end
returning w.binding, w.silent_since, w.last_seen_at, w.expect_every_s
