select count(*) as reviews from runs where state = 'failed' and abandoned_at is null and trigger <> 'replay:shadow'
