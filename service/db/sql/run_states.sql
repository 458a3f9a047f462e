-- Where these runs stand.
select id, state from runs where id = any ($1::bigint[])
