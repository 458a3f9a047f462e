-- Who asked for what, known how, from where, and what was answered. It is only added to; what is old goes by `trim_audit`.

create table audit (
    seq bigint generated always as identity primary key,
    at timestamptz not null default now(),
    request uuid not null,
    answer smallint not null,
    who text not null,
    said text not null,
    via text not null,
    known_as text not null,
    address text not null,
    action text not null,
    object text not null,
    run_id bigint,
    detail bytea not null,
    unique (request, answer)
);
create index audit_by_run on audit (run_id, seq) where run_id is not null;

create function audit_stays() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('tidemill.trims_audit', true) = 'on' then
        return old;
    end if;
    raise exception 'the audit log is only added to: retention.audit_days says how long it is kept';
end $$;
create trigger audit_stays before update or delete on audit for each row execute function audit_stays();
create trigger audit_stays_whole before truncate on audit for each statement execute function audit_stays();

-- Remove what is older than so many days, up to so many rows; the number of rows that went.
create function trim_audit(days double precision, most integer) returns bigint language plpgsql as $$
declare
    gone bigint;
begin
    perform set_config('tidemill.trims_audit', 'on', true);
    delete from audit a using (
        select seq from audit where at < now() - days * interval '1 day' order by seq limit most
    ) old where a.seq = old.seq;
    get diagnostics gone = row_count;
    perform set_config('tidemill.trims_audit', 'off', true);
    return gone;
end $$;
