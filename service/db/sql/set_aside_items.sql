-- Results of single items of a mapped stage that count no longer in their run.
update attempts set void = $4
where run_id = $1 and stage = $2 and item = any ($3::int[]) and state in ('succeeded', 'reused', 'skipped')
    and void is null
