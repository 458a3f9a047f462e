-- What `tidemill doctor` asks a server, whether our tables are there or not.
select current_setting('server_version') as version,
    current_setting('server_version_num')::int as version_number,
    current_setting('fsync') as fsync,
    current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    pg_is_in_recovery() as standby,
    has_schema_privilege(current_schema(), 'create') as may_create,
    to_regclass('migrations') is not null as has_tables,
    clock_timestamp() as now
