-- Make a token, unless another that stands has its name. Made again by a repeated flush it is the same one.
insert into api_tokens (name, digest, prefix, roles, pipelines, created_by, expires_at)
select $1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second'
where not exists (select from api_tokens where name = $1 and revoked_at is null and digest <> $2)
on conflict (digest) do update set prefix = excluded.prefix
returning id, created_at, expires_at
