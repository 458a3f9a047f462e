-- The run log is to be kept in parts by the day (0041). What it holds now, and takes in this week, becomes the first of
-- them. That nothing later is in it is said here, at once, and looked at in 0040, beside those who write.
do $$
begin
    execute format(
        'alter table run_log add constraint run_log_before check (at < %L) not valid',
        date_trunc('day', now(), 'UTC') + interval '7 days'
    );
end $$;

-- Where rows come and go for good, vacuum after a fiftieth of them rather than a fifth, and know of new ones soon.
alter table events set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table runs set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table fates set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table attempts set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table stage_logs set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
