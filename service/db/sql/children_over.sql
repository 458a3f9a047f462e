-- The sub-runs that a resumed run waits for again, but for those of stages that are made anew.
select id from runs
where cause_run = $1 and parent_run = $1 and state in ('failed', 'cancelled') and cause_stage <> all ($2::text[])
