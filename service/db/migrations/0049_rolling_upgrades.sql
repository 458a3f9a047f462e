-- Daemons of two releases share a database while one is rolled out: `needs` is the migration that a daemon must know to
-- go on after this one (0: any may), `knows` the newest that a daemon knew when it registered. See docs/upgrading.md.
alter table migrations add column needs integer not null default 0;
alter table daemons add column knows integer not null default 0;
