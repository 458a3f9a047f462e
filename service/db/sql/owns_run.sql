-- Locked, so that nobody takes the run while what depends on it is written.
select id from runs where id = $1 and epoch = $2 and state = 'running' for no key update
