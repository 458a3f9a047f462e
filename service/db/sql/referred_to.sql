-- Every artifact of the store that a row refers to. What models refer to may be so small that it lives in a row.
select digest from (
    select output_digest as digest from attempts where output_digest is not null and output_inline is null
    union
    select digest from stage_log_files
    union
    select report from gate_history where report is not null
    union
    select code from pipelines where code is not null
    union
    select role.value #>> '{}' from model_versions v, json_each(convert_from(v.artifacts, 'utf8')::json) as role
) found
where digest ~ '^[0-9a-f]{64}$'
    and not exists (select from attempts a where a.output_digest = found.digest and a.output_inline is not null)
