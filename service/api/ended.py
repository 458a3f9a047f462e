"""Ending the sessions of browsers, in all daemons at once: of a person, or of everybody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.audit import audit_page
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.problems import Problem
from service.api.requests import known_only
from service.api.standing import recorded_as
from service.callers import Right
from service.db.sessions import EVERYBODY, EndSessions
from service.shapes.access import SessionsEnded

QUERY = {"by": "who asks"}
MOST_NAME = 200
# Of the latest that signed in under a name or failed to.
LOOKED_AT = 20


async def of_person(context: Context, request: Request) -> Response:
    """Those of whoever acts under a name, or has that subject at the provider."""
    person = request.path_params["person"]
    if not person.strip() or len(person) > MOST_NAME:
        raise Problem(422, f"whose sessions? A name, or a subject at the provider, has 1 to {MOST_NAME} characters")
    return Json(await _ended(context, request, person))


async def of_everybody(context: Context, request: Request) -> Response:
    """All there are."""
    return Json(await _ended(context, request, EVERYBODY))


async def _ended(context: Context, request: Request, person: str) -> SessionsEnded:
    known_only(request, QUERY)
    by = (recorded_as(request.scope, request.query_params.get("by")) or "api")[:MOST_NAME]
    asked = {"action": "POST /sign-in"} | ({"who": person} if person else {})
    entries = (await audit_page(context, asked, None, LOOKED_AT))["entries"]
    await end_sessions(context, person, by)
    return {
        "person": person or None,
        "signed_in_at": next((one["at"] for one in entries if one["answer"] == 303), None),
    }


async def end_sessions(context: Context, person: str, by: str) -> None:
    """Let no session of theirs go on; here from now on, elsewhere within seconds."""
    await context.write(EndSessions(person, by))
    context.ends.hear()
    context.watched.hear()


ENDPOINTS = (
    Endpoint(
        method="DELETE",
        path="/api/v1/sessions",
        summary="End the browsers' sessions of everybody: all have to sign in again",
        tag="access",
        handler=of_everybody,
        query=QUERY,
        answers={200: SessionsEnded},
        problems=(422, 429),
        only=Right.ADMIN,
    ),
    Endpoint(
        method="DELETE",
        path="/api/v1/sessions/{person:path}",
        summary="End the browsers' sessions of somebody, by name or by subject at the provider",
        tag="access",
        handler=of_person,
        query=QUERY,
        answers={200: SessionsEnded},
        problems=(422, 429),
        only=Right.ADMIN,
    ),
)
