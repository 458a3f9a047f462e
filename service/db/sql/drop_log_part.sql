select drop_run_log_part($1)
