"""What the API answers of tokens and of the audit log."""

from __future__ import annotations

from datetime import datetime

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
