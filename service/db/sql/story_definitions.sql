select version, definition from pipelines where name = $1 and version = any ($2::text[])
