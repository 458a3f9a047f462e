-- Never run: it is asked how many runs the planner expects to have all of these tags.
select from runs where tags @> $1::jsonb
