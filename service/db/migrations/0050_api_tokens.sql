-- Tokens of the API, each with its name and roles. Of the token itself only its digest is kept.

create table api_tokens (
    id bigint generated always as identity primary key,
    name text not null check (name <> ''),
    digest bytea not null unique check (octet_length(digest) = 32),
    prefix text not null,
    roles text[] not null
        check (cardinality(roles) > 0 and roles <@ array['viewer', 'operator', 'approver', 'admin']),
    pipelines text[] not null default '{}',
    created_at timestamptz not null default now(),
    created_by text not null,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    check (('approver' = any (roles)) = (cardinality(pipelines) > 0)),
    check ((revoked_at is null) = (revoked_by is null))
);
create unique index api_tokens_by_name on api_tokens (name) where revoked_at is null;
