delete from idempotency_keys where caller = $1 and key = $2 and claim = $3
