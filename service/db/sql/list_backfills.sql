select * from backfills where $1::bigint is null or id < $1 order by id desc limit $2
