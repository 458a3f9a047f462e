-- The answer to the request that has the key, unless somebody else took it meanwhile.
update idempotency_keys set status = $4, headers = $5, body = $6 where caller = $1 and key = $2 and claim = $3
