-- The parts of the run log for today and the $1 days after it.
select make_run_log_part((now() at time zone 'UTC')::date + n) from generate_series(0, $1::int) n
