-- The artifacts that are referred to from elsewhere than attempts and models: `union` the column of each such table.
select report as digest from gate_history where report is not null
