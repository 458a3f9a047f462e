"""Signing in with the API token, saying who one is, and signing out."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from service.api.access import check_form_origin
from service.api.context import Context
from service.api.ended import end_sessions
from service.api.problems import Problem
from service.api.sessions import Session
from service.api.standing import CALLER
from service.callers import LOCAL, Caller, Via
from service.console.page import Done, Form, Shown, answered, read_form
from service.known_sessions import generation

MOST_NAME = 200
EVERYWHERE = "everywhere"
# Browsers read `\` as `/`, and leave out tabs and the like wherever they stand (WHATWG URL, 4.4).
_INSIDE = re.compile(r"/(?!/)[^\\\x00-\x1f\x7f]*")


async def asking(context: Context, request: Request) -> Shown:
    """The page that asks for the token, if one is needed, and for a name."""
    needed = not context.access.is_open
    following = inside(request.query_params.get("next", "/"))
    provider = context.access.provider
    elsewhere = None if provider is None or not provider.settings.client_id else urlsplit(provider.issuer).netloc
    values = {"title": "Sign in", "following": following, "needed": needed, "elsewhere": elsewhere}
    return Shown("sign_in.html", values, live=None)


async def sign_in(context: Context, request: Request) -> Response:
    """Begin a session. It needs no form token: nobody has a session before. Raises 401 and 403."""
    check_form_origin(request.scope, context.daemon.settings.http.public_url)
    form = await read_form(request)
    said = form.get("name", "").strip()[:MOST_NAME]
    address = str((request.scope.get("client") or ("",))[0])
    try:
        context.access.tries.check(address, said)
        ends = await context.ends.ends()
        token, caller = await _shown(context, form.get("api_token", "").strip())
    except Problem as problem:
        if problem.status == 401:
            context.access.tries.fail(address, said)
        context.audit.signed_in(request.scope, said, problem.status, str(problem))
        raise
    name = (caller.name or said)[:MOST_NAME]
    if not name:
        raise Problem(422, "say who you are: what you do is recorded under your name")
    signed_in, holder = not context.access.is_open, caller.via is Via.HOLDER
    begun = context.sessions.begin(name, signed_in=signed_in, token=token, holder=holder)
    session = replace(begun, generation=generation(ends, name))
    request.scope[CALLER] = caller
    context.audit.signed_in(request.scope, name, 303)
    return answered(context, Done(inside(form.get("next", "/")), session=session))


async def _shown(context: Context, given: str) -> tuple[int | None, Caller]:
    """Whose token was shown. Raises 401."""
    if context.access.is_open:
        return None, LOCAL
    found = await context.access.shown(given)
    if found is None:
        raise Problem(401, "no token that stands, and not the API token of the daemon either: go back, and try again")
    if found[1].via is Via.OIDC:
        raise Problem(401, "tokens of the provider are for programs: go back, and sign in with the provider itself")
    return found


async def sign_out(context: Context, request: Request, form: Form) -> Done:
    """End the session of this browser; `everywhere`, all that this person has."""
    session = context.sessions.of(request.scope)
    if form.get("where") == EVERYWHERE and session is not None and session.name:
        await end_sessions(context, session.known_as or session.name, session.name)
    return Done("/sign-in", session=Session("", "", signed_in=False, until_s=0))


def inside(given: str) -> str:
    """An address of ours, whatever was asked for."""
    return given if _INSIDE.fullmatch(given) else "/"
