-- A backfill, for one process to go on with; no row while another one does.
select * from backfills where id = $1 and state = 'running' for update skip locked
