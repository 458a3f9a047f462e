-- How often the sessions of a person were ended: of a name, of a subject at the provider, or ('') of everybody. A browser's
-- session knows how often that was when it began, and stands for as long as it is not more.
create table session_ends (
    person text primary key,
    generation bigint not null default 1 check (generation > 0),
    ended_at timestamptz not null default now(),
    ended_by text not null
);
