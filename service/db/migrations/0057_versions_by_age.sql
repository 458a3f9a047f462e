-- outside a transaction
-- The versions of a pipeline are listed by their age, a page at a time.
drop index concurrently if exists pipelines_by_age;
create index concurrently pipelines_by_age on pipelines (name, first_seen_at, version);
