-- Reads the whole log once. Nobody waits for it.
alter table run_log validate constraint run_log_before;
