update runs set
    ready_at = case when state = 'waiting' then now() else ready_at end,
    poked = state = 'running'
where id = $1 and state in ('waiting', 'running')
