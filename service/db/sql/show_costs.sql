-- What each stage of a run cost, over all its attempts.
select stage, sum(cpu_s) as cpu_s, max(memory_bytes) as memory_bytes
from attempt_costs where run_id = $1
group by stage
