-- So many at most of the runs that have all of these tags, in no order. Without the subquery a tag that is frequent now
-- would be looked for from the newest run down, also where all that have it are old.
select id from runs where tags @> (select $1::jsonb) and tags <> '[]' limit $2
