-- Each of the notices, on one channel.
select pg_notify($1, payload) from unnest($2::text[]) payload
