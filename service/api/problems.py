"""Errors as a caller sees them: problem details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.errors import Conflict, DatabaseUnavailable, Invalid, NotFound, NotLetIn, ProviderAway, ServiceError
from stages.errors import ArtifactCorrupted, ArtifactMissing, InvalidParams, StoreUnavailable, Undecodable
from stages.problems import in_our_words
from stages.registry import AliasMoved
from triggers.errors import InboxBusy, InboxFull, InvalidEvent

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
SHOWN_FIELDS = 20
# What a validator says in its own jargon.
SAID = {
    "extra_forbidden": "no field of this body has this name: GET /api/v1/openapi.json has those there are",
    "too_short": "it is empty",
}


class Problem(ServiceError):
    """An answer other than success. `members` are added to the problem document."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.members = members

    def document(self) -> dict[str, Any]:
        """The problem document. Its type is the status code's own, as RFC 9457 section 4.2.1 has it."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": str(self), **self.members}

    def response(self) -> Response:
        """The answer that carries it."""
        content = orjson.dumps(self.document(), default=str)
        return Response(content, self.status, self.headers, MEDIA_TYPE)


class ClientGone(ServiceError):
    """Whoever asked hung up before the request was whole: there is nobody to answer."""


STATUSES: Mapping[type[Exception], int] = {
    NotFound: 404,
    Conflict: 409,
    AliasMoved: 409,
    Invalid: 422,
    InvalidParams: 422,
    InboxFull: 429,
    InboxBusy: 503,
    NotLetIn: 403,
    DatabaseUnavailable: 503,
    ProviderAway: 503,
    StoreUnavailable: 503,
    ArtifactMissing: 500,
    ArtifactCorrupted: 500,
    Undecodable: 500,
}
# What is told to the caller. Everything else is a fault of ours: a 500 without its details, and a traceback in the log.
TOLD: tuple[type[Exception], ...] = (Problem, HTTPException, ValidationError, InvalidEvent, *STATUSES)


def problem_of(error: Exception) -> Problem:
    """One of the errors in `TOLD` as the caller sees it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _from_router(error)
    if isinstance(error, ValidationError):
        return _from_validation(error)
    if isinstance(error, InvalidEvent):
        challenge = {"WWW-Authenticate": 'Signature realm="tidemill hooks"'} if error.status == 401 else None
        return Problem(error.status, str(error), headers=challenge)
    status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
    again = {"Retry-After": str(_retry_after_s(error))} if status in (429, 503) else None
    return Problem(status, str(error), headers=again)


def internal_problem() -> Problem:
    """What is told of a fault of ours."""
    return Problem(500, "the daemon made an error; its log tells which: try again, and report it if it stays")


def _retry_after_s(error: Exception) -> int:
    wanted = getattr(error, "retry_after_s", None)
    return max(RETRY_AFTER_S, round(wanted)) if wanted else RETRY_AFTER_S


def _from_router(error: HTTPException) -> Problem:
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        return Problem(405, f"this address takes {allowed} only", headers={"Allow": allowed})
    return Problem(error.status_code, "there is nothing at this address: GET /api/v1/openapi.json lists what there is")


def _from_validation(error: ValidationError) -> Problem:
    """Every wrong field by its name; what was sent is not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:SHOWN_FIELDS]
    fields = [{"field": ".".join(map(str, one["loc"])) or "body", "problem": _wrong(one)} for one in found]
    detail = "; ".join(f"{one['field']}: {one['problem']}" for one in fields)
    return Problem(422, detail, fields=fields)


def _wrong(found: ErrorDetails) -> str:
    return SAID.get(found["type"]) or in_our_words(found["msg"])
