-- Take the key $2 of the caller $1 for the request $3, by the claim $4 of the process $5. No row: somebody has it. A key
-- older than $6 seconds is free; so is one whose process died under way, and one whose answer was not kept, for the same
-- request again.
insert into idempotency_keys as k (caller, key, fingerprint, claim, daemon) values ($1, $2, $3, $4, $5)
on conflict (caller, key) do update set
    fingerprint = $3, claim = $4, daemon = $5, taken_at = now(), status = null, headers = null, body = null
where k.claim = $4 or k.taken_at < now() - make_interval(secs => $6)
    or (k.fingerprint = $3 and k.status is not null and k.body is null)
    or (k.fingerprint = $3 and k.status is null and not exists (
        select from daemons d
        where d.id = k.daemon and d.state = 'alive' and d.renewed_at >= now() - make_interval(secs => d.lease_s)
    ))
returning xmax <> 0 as again
