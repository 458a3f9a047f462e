-- What one request did. Told again by a repeated flush it is the same row.
insert into audit (request, answer, who, said, via, known_as, address, action, object, run_id, detail)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (request, answer) do nothing
