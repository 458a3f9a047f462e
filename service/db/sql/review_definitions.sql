select p.name, p.version, p.definition
from unnest($1::text[], $2::text[]) as g (name, version) join pipelines p on p.name = g.name and p.version = g.version
