-- Lists of results (of mapped stages) in runs that have not got the results themselves: they were taken whole.
select distinct on (output_digest) output_digest, output_codec, output_size, output_inline from attempts a
where a.output_codec = 'gathered' and (a.item <> -1 or not exists (
    select from attempts i where i.run_id = a.run_id and i.stage = a.stage and i.item > -1
))
order by output_digest
