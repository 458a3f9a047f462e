-- The artifacts that are referred to from elsewhere than an attempt: by registered models, of which whatever looks like
-- a digest counts as one, and as the kept code of pipeline versions.
select distinct found[1] as digest
from model_versions v,
    regexp_matches(encode(v.artifacts, 'escape') || ' ' || encode(v.lineage, 'escape'), '[0-9a-f]{64}', 'g') as found
union
select code from pipelines where code is not null
