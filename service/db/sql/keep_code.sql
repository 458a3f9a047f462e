-- The row of the version is there, or comes with this. A later archive of the same version stands for the earlier one.
insert into pipelines (name, version, definition, spec, code, code_bytes, code_missing, made_with)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (name, version) do update set
    spec = excluded.spec, code = excluded.code, code_bytes = excluded.code_bytes,
    code_missing = excluded.code_missing, made_with = excluded.made_with
