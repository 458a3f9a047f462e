insert into model_versions (model, version, state, artifacts, metrics, lineage, run_id, pipeline, idempotency_key)
select $1, coalesce(max(version), 0) + 1, 'staging', $2, $3, $4, $5, $6, $7 from model_versions where model = $1
on conflict (idempotency_key) do nothing
