select count(*)::int from backfill_ticks where backfill = $1 and state = 'started'
