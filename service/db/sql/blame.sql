-- Should the owner of this run die now, it may have been this run's doing.
update runs set blamed = true where id = $1 and epoch = $2 and state = 'running' returning id
