insert into run_actions (run_id, action, by, detail) values ($1, $2, $3, $4)
