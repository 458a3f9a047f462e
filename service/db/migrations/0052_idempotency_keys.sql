-- Requests that carried an `Idempotency-Key`, and what was answered. Without a status one is under way in the process
-- `daemon`, if that lives; without a body its answer was not to be kept, and it is carried out again.
create table idempotency_keys (
    caller text not null,
    key text not null,
    fingerprint bytea not null,
    claim uuid not null,
    daemon bigint not null,
    taken_at timestamptz not null default now(),
    status smallint check (status between 200 and 399),
    headers bytea,
    body bytea,
    primary key (caller, key),
    check (body is null or (status is not null and headers is not null))
);
create index idempotency_keys_old on idempotency_keys (taken_at);
