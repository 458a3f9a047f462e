"""Signing in by the provider: there and back again (authorization code with PKCE, state and nonce)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.api.access import SIGN_IN
from service.api.context import Context
from service.api.ended import end_sessions
from service.api.problems import Problem
from service.api.requests import header
from service.api.standing import CALLER
from service.callers import Caller, Via
from service.console.look import HEADERS
from service.console.page import Done, answered, read_form
from service.console.signing import inside
from service.errors import NotLetIn
from service.known_sessions import generation

if TYPE_CHECKING:
    from service.oidc import Provider

PROVIDER, CALLBACK, ENDED = (f"{SIGN_IN}/{path}" for path in ("provider", "callback", "ended"))
# States that came back already: so many are remembered, by this process.
MOST_STATES = 10_000
_seen: OrderedDict[str, None] = OrderedDict()


async def goes_on(context: Context, request: Request) -> bool:
    """Whether a browser comes whose session is over by its time alone: the provider can tell at once whether that is
    still the same person, and what they may do by now.
    """
    provider, session = context.access.provider, context.sessions.last(request.scope)
    if provider is None or session is None or session.issuer != provider.issuer:
        return False
    # What a page's script fetches leads nowhere else, and would spoil what another tab has begun.
    if context.sessions.of(request.scope) is not None or header(request.scope, b"sec-fetch-mode") != "navigate":
        return False
    return session.generation >= generation(await context.ends.ends(), session.name, session.known_as)


async def depart(context: Context, request: Request, *, silent: bool = False) -> Response:
    """Send the browser to the provider. What it is to bring back is kept in a signed cookie of its own."""
    provider = _provider(context)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    to = await provider.address(_redirect(context), state, nonce, challenge, silent=silent)
    answer = RedirectResponse(to, 303, {**HEADERS, "Referrer-Policy": "no-referrer"})
    following = inside(request.query_params.get("next", "/"))
    going = {"state": state, "nonce": nonce, "verifier": verifier, "next": following, "silent": silent}
    answer.headers.append("Set-Cookie", context.sessions.going(going))
    return answer


async def arrive(context: Context, request: Request) -> Response:
    """Begin the session of whoever comes back. Raises 403 for what is not the answer to what this browser asked."""
    try:
        return await _arrived(context, request)
    except NotLetIn as error:
        context.audit.signed_in(request.scope, "", 403, str(error))
        raise Problem(403, str(error)) from None


async def _arrived(context: Context, request: Request) -> Response:
    provider, asked = _provider(context), request.query_params
    going = context.sessions.gone(request.scope)
    state = asked.get("state", "")
    if not going or not hmac.compare_digest(str(going["state"]).encode(), state.encode("utf-8", "replace")):
        raise NotLetIn("this answer belongs to no sign-in that this browser began: begin again at /sign-in")
    if state in _seen:
        raise NotLetIn("this answer was used before: begin again at /sign-in")
    _remember(state)
    if asked.get("iss", provider.issuer).rstrip("/") != provider.issuer:
        raise NotLetIn(f"this answer is of another provider than {provider.issuer}")
    if "code" not in asked and going.get("silent"):
        return _asked_for(context, str(going["next"]))
    if "code" not in asked:
        told = asked.get("error_description") or asked.get("error") or "no code came back"
        raise NotLetIn(f"{provider.issuer} did not sign you in: {told[:200]}")
    # Before it is found out who that is: what is ended meanwhile ends this session, too.
    ends = await context.ends.ends()
    caller = await provider.exchanged(asked["code"], _redirect(context), str(going["verifier"]), str(going["nonce"]))
    request.scope[CALLER] = caller
    context.audit.signed_in(request.scope, caller.name, 303)
    begun = context.sessions.by_provider(caller, provider.issuer, provider.settings.session_s)
    session = replace(begun, generation=generation(ends, caller.name, caller.known_as))
    answer = answered(context, Done(inside(str(going["next"])), session=session))
    answer.headers.append("Set-Cookie", context.sessions.came_back())
    return answer


async def ended(context: Context, request: Request) -> Response:
    """The provider tells that somebody has signed out there, or may no more: none of their sessions goes on.

    Raises 400 for what it has not signed (OpenID Connect Back-Channel Logout 1.0, 2.8).
    """
    provider = _provider(context)
    try:
        subject = await provider.signed_out((await read_form(request)).get("logout_token", ""))
    except NotLetIn as error:
        raise Problem(400, str(error)) from None
    request.scope[CALLER] = Caller("", Via.OIDC, frozenset(), known_as=subject)

    async def end() -> Response:
        await end_sessions(context, subject, provider.issuer)
        return Response(headers={"Cache-Control": "no-store"})

    return await context.audit.served(request, f"POST {ENDED}", None, 200, end)


def _asked_for(context: Context, following: str) -> Response:
    """The page that asks: the provider knows them no more without their help."""
    answer = RedirectResponse(f"{SIGN_IN}?next={quote(inside(following), safe='')}", 303, HEADERS)
    for cookie in (context.sessions.ended(), context.sessions.came_back()):
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _remember(state: str) -> None:
    _seen[state] = None
    while len(_seen) > MOST_STATES:
        _seen.popitem(last=False)


def _provider(context: Context) -> Provider:
    provider = context.access.provider
    if provider is None or not provider.settings.client_id:
        raise Problem(404, "no provider signs people in here: set oidc.issuer and oidc.client_id")
    return provider


def _redirect(context: Context) -> str:
    """Where the provider sends the browser back to: never what a Host header says."""
    base = context.daemon.settings.http.public_url or context.daemon.address
    return base.rstrip("/") + CALLBACK
