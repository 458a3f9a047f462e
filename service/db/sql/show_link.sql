select l.*, l.expires_at <= now() as expired from gate_links l where l.id = $1
