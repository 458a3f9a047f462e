-- $2 to $6 are what its signature says: a row that says otherwise is not the link that was signed.
update gate_links set used_at = clock_timestamp()
where id = $1 and run_id = $2 and gate = $3 and subject = $4 and person = $5 and decision = $6
    and used_at is null and expires_at > clock_timestamp()
returning id
