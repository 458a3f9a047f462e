select id, name, prefix, roles, pipelines, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by,
    case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'valid' end as state
from api_tokens
where ($1::bigint is null or id < $1) and ($2 or revoked_at is null)
order by id desc
limit $3
