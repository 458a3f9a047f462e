"""What the API answers of tokens and of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class TokenShape(TypedDict):
    """A token, without itself. `state`: `valid`, `expired` or `revoked`. `last_used_at` is true to a minute."""

    id: int
    name: str
    prefix: str
    roles: list[str]
    pipelines: list[str]
    state: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class AuditEntry(TypedDict):
    """What one request did. `who` has shown who it is, by `via` (`known_as`: the beginning of a token, or a subject);
    `said` is the name under which it is recorded elsewhere. `answer` is the HTTP status; rows of one `request` with two
    answers: the first was written with what it did, the second tells what came of it.
    """

    seq: int
    at: datetime
    request: str
    answer: int
    who: str
    said: str
    via: str
    known_as: str
    address: str
    action: str
    object: str
    run: int | None
    detail: dict[str, Any]


class AuditPage(TypedDict):
    """The audit log, newest first. `next` is `before` of the next page: where nothing was found it still leads on."""

    entries: list[AuditEntry]
    next: int | None


class TokensPage(TypedDict):
    """Tokens, newest first. `next` is `before` of the next page."""

    tokens: list[TokenShape]
    next: int | None


class TokenMade(TypedDict):
    """A new token. `token` is told here and never again."""

    id: int
    name: str
    token: str
    prefix: str
    roles: list[str]
    pipelines: list[str]
    created_at: datetime
    expires_at: datetime | None


class TokenRevoked(TypedDict):
    """A token that stands no more."""

    id: int
    name: str


class SessionsEnded(TypedDict):
    """Sessions that go on no more: of this `person` (null: of everybody). `signed_in_at`: when somebody of that name
    signed in last, as far back as the audit log was looked through; null may mean that nobody is called so.
    """

    person: str | None
    signed_in_at: datetime | None
