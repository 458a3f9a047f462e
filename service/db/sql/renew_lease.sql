update daemons set renewed_at = now() where id = $1 and state = 'alive'
returning (select version from pause_changes) as pauses
