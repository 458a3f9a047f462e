select c.version, p.id, p.pipeline, p.trigger, p.reason, p.paused_by, p.paused_at
from pause_changes c left join pauses p on p.lifted_at is null
order by p.id
