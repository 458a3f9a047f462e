-- The artifacts that are referred to from elsewhere than an attempt: whatever looks like a digest counts as one.
select distinct found[1] as digest
from model_versions v,
    regexp_matches(encode(v.artifacts, 'escape') || ' ' || encode(v.lineage, 'escape'), '[0-9a-f]{64}', 'g') as found
