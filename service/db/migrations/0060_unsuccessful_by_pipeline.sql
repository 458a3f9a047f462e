-- outside a transaction
-- The failed and cancelled runs of one pipeline are found among those of all others; and what waits for a person is
-- counted for every page, from an index that tells it all: a rehearsal in shadow waits for nobody.
drop index concurrently if exists runs_unsuccessful_of_pipeline;
create index concurrently runs_unsuccessful_of_pipeline on runs (pipeline, state, id) where state in ('failed', 'cancelled');
drop index concurrently if exists runs_to_review;
create index concurrently runs_to_review on runs (id)
where state = 'failed' and abandoned_at is null and trigger <> 'replay:shadow';
drop index concurrently if exists runs_in_review;
