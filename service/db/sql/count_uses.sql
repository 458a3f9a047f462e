select g.digest, (
    select count(*) from attempts a where a.output_digest = g.digest and a.output_inline is null
) as uses
from unnest($1::text[]) as g (digest)
