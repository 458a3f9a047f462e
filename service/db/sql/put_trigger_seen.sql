insert into trigger_seen as s (binding, last_seen_at)
select binding, last_seen_at from unnest($1::text[], $2::timestamptz[]) as g (binding, last_seen_at)
on conflict (binding) do update set last_seen_at = excluded.last_seen_at
where s.last_seen_at < excluded.last_seen_at
