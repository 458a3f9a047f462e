-- Runs that were just started, each in its sequence: none may be claimed before `next_in_order.sql` lets it.
update runs r set sequence = g.sequence, held = 'order'
from unnest($1::bigint[], $2::text[]) as g (id, sequence)
where r.id = g.id
