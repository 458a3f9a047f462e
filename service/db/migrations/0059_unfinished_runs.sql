-- outside a transaction
-- Among millions of finished runs the planner takes those that live for none, and so to walk `runs_live` for the cheapest
-- way to any of them, whatever index was made for what is asked. It considers this one for statements that say `id > 0`.
-- (A daemon of the release before reads all runs to count these, until it is replaced.)
drop index concurrently if exists runs_unfinished;
create index concurrently runs_unfinished on runs (id) where state in ('queued', 'running', 'waiting') and id > 0;
drop index concurrently if exists runs_live;
