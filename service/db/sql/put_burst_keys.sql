update runs r set burst_key = g.key from unnest($1::bigint[], $2::text[]) as g (id, key) where r.id = g.id
