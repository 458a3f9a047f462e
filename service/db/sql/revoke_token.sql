-- End the token of a name. What was just ended by a repeated flush stays so.
update api_tokens set revoked_at = now(), revoked_by = $2
where name = $1 and revoked_at is null
returning id
