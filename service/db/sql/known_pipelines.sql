select distinct name from pipelines order by name
