-- Those of these artifacts that rows of runs refer to. (Lateral with a limit: each is looked up by its digest.)
select g.digest from unnest($1::text[]) as g (digest)
cross join lateral (
    (select 1 from attempts a where a.output_digest = g.digest and a.output_inline is null limit 1)
    union all
    (select 1 from stage_log_files l where l.digest = g.digest limit 1)
    union all
    (select 1 from gate_history h where h.report = g.digest limit 1)
    limit 1
) used
