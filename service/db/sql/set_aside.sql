-- Results that count no longer in their run: all of these stages, items included.
update attempts set void = $3
where run_id = $1 and stage = any ($2::text[]) and state in ('succeeded', 'reused', 'skipped') and void is null
