select stage, item, attempt, effect from fenced_effects where run_id = $1 order by stage, item, attempt, place limit $2
