-- outside a transaction
-- The ids of most events grow: offsets, times, numbers. A tree finds the next place beside the last one, where a hash has
-- a page of its own for each, and the first touch of a page after a checkpoint is written whole. An id may be longer
-- than what a tree holds, so it is kept by how it begins.
drop index concurrently if exists events_by_start_of_id;
create index concurrently events_by_start_of_id on events (left(id, 200));
drop index concurrently if exists events_by_id;
