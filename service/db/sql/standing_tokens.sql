select id, name, digest, prefix, roles, pipelines, extract(epoch from expires_at - now())::float8 as expires_in_s
from api_tokens
where revoked_at is null and (expires_at is null or expires_at > now())
