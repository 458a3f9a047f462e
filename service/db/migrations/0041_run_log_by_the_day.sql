-- The run log in parts by the day, so that what every sink has read goes by dropping a part. See docs/decisions/0030.

alter table run_log alter column seq drop identity;
alter table run_log rename to run_log_before;
alter table run_log_before rename constraint run_log_pkey to run_log_before_pkey;
alter index run_log_in_order rename to run_log_before_in_order;

create sequence run_log_seq;
select setval('run_log_seq', (select coalesce(max(seq), 0) + 1 from run_log_before), false);

create table run_log (
    seq bigint not null default nextval('run_log_seq'),
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default now(),
    daemon bigint not null,
    entries bytea not null
) partition by range (at);
alter sequence run_log_seq owned by run_log.seq;
create index run_log_in_order on run_log (xid, seq);

do $$
begin
    execute format(
        'alter table run_log attach partition run_log_before for values from (minvalue) to (%s)',
        (
            select substring(pg_get_constraintdef(oid) from '''[^'']+''') from pg_constraint
            where conrelid = 'run_log_before'::regclass and conname = 'run_log_before'
        )
    );
end $$;
alter table run_log_before drop constraint run_log_before;

-- What comes on a day for which nobody has made a part: nothing ever fails for the want of one.
create table run_log_rest (like run_log including defaults);
alter table run_log attach partition run_log_rest default;

-- The parts with their ends, other than the rest.
create view run_log_parts as
    select c.relname::text as name, c.oid as part,
        (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'run_log'::regclass and pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT';

-- Make the part of a day (of UTC), unless it is there, or an earlier part or the rest holds rows of that day. Writers go
-- on meanwhile. They only add, and the part goes as a whole: there is nothing to vacuum.
create function make_run_log_part(day date) returns boolean language plpgsql as $$
declare
    name text := 'run_log_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(name) is not null then
        return false;
    end if;
    execute format('create table %I (like run_log including defaults) with (autovacuum_vacuum_insert_threshold = -1)', name);
    execute format(
        'alter table run_log attach partition %I for values from (%L) to (%L)',
        name, day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC'
    );
    return true;
exception
    when invalid_object_definition or check_violation then return false;
end $$;

-- Drop a part. Writers wait for as long as that takes to note.
create function drop_run_log_part(name text) returns void language plpgsql as $$
begin
    execute format('drop table %I', (select p.name from run_log_parts p where p.name = drop_run_log_part.name));
end $$;

-- The last row of a part, in the order in which sinks read.
create function end_of_run_log_part(part oid) returns table (xid xid8, seq bigint) language plpgsql stable as $$
begin
    return query execute format('select xid, seq from %s order by xid desc, seq desc limit 1', part::regclass);
end $$;

select make_run_log_part((now() at time zone 'UTC')::date + n) from generate_series(7, 10) n;

-- Lists of runs that did not succeed; what is under way is in `runs_live`, and what succeeded is never far.
create index runs_unsuccessful on runs (state, id) where state in ('failed', 'cancelled');
