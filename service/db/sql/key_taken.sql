select fingerprint, status, headers, body from idempotency_keys where caller = $1 and key = $2
