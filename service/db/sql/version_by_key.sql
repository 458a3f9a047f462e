select * from model_versions where idempotency_key = $1
