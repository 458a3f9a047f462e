select clock_timestamp() as at, current_setting('server_version') as version,
    pg_database_size(current_database()) as size_bytes
