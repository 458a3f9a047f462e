-- End every session of a person, or ('') of everybody. Once more by a repeated flush ends no others.
insert into session_ends (person, ended_by) values ($1, $2)
on conflict (person) do update
set generation = session_ends.generation + 1, ended_at = now(), ended_by = excluded.ended_by
