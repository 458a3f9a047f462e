select g.digest,
    (select count(*) from attempts a where a.output_digest = g.digest and a.output_inline is null)
    + (select count(*) from stage_log_files l where l.digest = g.digest)
    + (select count(*) from gate_history h where h.report = g.digest) as uses
from unnest($1::text[]) as g (digest)
