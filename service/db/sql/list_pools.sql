select p.name, p.capacity, (
    select count(*) from runs r where r.owner is not null and r.limited and r.pool = p.name
) as taken
from pools p
order by p.name
