select * from backfills where state = 'running' order by id
