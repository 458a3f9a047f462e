select * from backfills where id = $1
