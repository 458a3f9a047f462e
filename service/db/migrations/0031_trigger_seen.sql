-- When each trigger last saw something, whichever process told of it and whether or not that is still there.
create table trigger_seen (
    binding text primary key,
    last_seen_at timestamptz not null
) with (fillfactor = 50);
insert into trigger_seen (binding, last_seen_at)
select binding, max((convert_from(status, 'UTF8')::jsonb ->> 'last_seen_at')::timestamptz)
from trigger_statuses
where convert_from(status, 'UTF8')::jsonb ->> 'last_seen_at' is not null
group by binding;
