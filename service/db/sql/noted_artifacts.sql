-- The artifacts that are referred to from elsewhere than attempts and models: `union` the column of each such table.
select digest from (values (null::text)) as none (digest) where digest is not null
