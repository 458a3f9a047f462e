-- The runs that a run's stages caused, by an event or as sub-runs. (A union, because each half has an index.)
select id, pipeline, state, cause_stage, parent_run is not null and parent_run = $1 as waited_for from runs
where cause_run = $1
union
select id, pipeline, state, cause_stage, true from runs where parent_run = $1
order by id
limit 1000
