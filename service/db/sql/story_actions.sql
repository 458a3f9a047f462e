select at, action, by, detail from run_actions where run_id = $1 order by seq
