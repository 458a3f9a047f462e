-- A page of the audit log, newest first: no more than $9 rows are looked through for what no index finds. The first
-- columns stand on every row, and alone where nothing was found: how far that looked.
with looked as (
    select * from audit
    where ($1::bigint is null or seq < $1) and ($2::bigint is null or run_id = $2)
    order by seq desc limit $9
), found as (
    select * from looked
    where ($3::text is null or who = $3 or (who = '' and said = $3))
        and ($4::text is null or strpos(lower(action || ' ' || object), lower($4)) > 0)
        and (not $5 or answer >= 400)
        and ($6::timestamptz is null or at >= $6)
        and ($7::timestamptz is null or at < $7)
    order by seq desc limit $8
)
select l.first as looked_to, l.many as looked, f.*
from (select min(seq) as first, count(*) as many from looked) l left join found f on true
order by f.seq desc
