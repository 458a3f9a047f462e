"""What a page is, and what every page has in common: frame, session, the check of forms, its place in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.api.access import check_form_origin
from service.api.context import Context
from service.api.problems import Problem
from service.api.requests import read_body
from service.api.sessions import Session
from service.api.standing import caller_of, require
from service.audit import tell
from service.callers import Caller, Right
from service.console.early import EarlyPage
from service.console.look import HEADERS, rendered
from service.log_stream import Place
from triggers.payload import parse_json

MOST_FORM_BYTES = 65_536
# What a list to choose from has at most; whatever else is asked for by its name in the address.
MOST_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A page to look at. `live`: what of the run log makes it look again (None: nothing). `place`: where the log stood
    before its values were read, where that was before it was asked for. `follows`: another stream to look again by.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    live: Mapping[str, Any] | None = field(default_factory=dict)
    place: Place | None = None
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A form did what it was to do: where to go next, what to say there, and the session from now on."""

    to: str
    said: str = ""
    session: Session | None = None


Form = Mapping[str, str]
Show = Callable[[Context, Request], Awaitable[Shown]]
IsThere = Callable[[Context, Request], Awaitable[bool]]
Act = Callable[[Context, Request, Form], Awaitable[Done]]


async def show(
    context: Context, request: Request, handler: Show, right: Right | None, is_there: IsThere | None = None
) -> Response:
    """Answer with a page; its head at once where a browser goes to one that `is_there` whatever comes."""
    require(request.scope, right)
    known = context.sessions.of(request.scope)
    session = known or context.sessions.begin("", signed_in=False)
    content = partial(_content, context, request, handler, session)
    answer: Response
    if is_there is not None and _goes_there(request) and await is_there(context, request):
        answer = EarlyPage(content)
    else:
        answer = HTMLResponse(await content(), headers=HEADERS)
    last = context.sessions.last(request.scope)
    # What a provider has to be asked of again stays for that.
    if known is None and not (last is not None and last.issuer):
        answer.headers.append("Set-Cookie", context.sessions.cookie(session))
    if context.sessions.said(request.scope):
        answer.headers.append("Set-Cookie", context.sessions.told())
    return answer


def _goes_there(request: Request) -> bool:
    """Whether a browser is to show the answer, and no query can be refused."""
    return request.headers.get("sec-fetch-dest") == "document" and not request.scope["query_string"]


async def _content(context: Context, request: Request, handler: Show, session: Session) -> str:
    """Its place in the log is taken before its content is read: nothing falls in between."""
    changes = context.stream.changes
    place = await context.stream.end()
    waiting, shown = await asyncio.gather(context.views.people_wait(), handler(context, request))
    live = (
        None
        if shown.live is None
        else "/api/v1/stream?" + urlencode({**shown.live, "after": str(shown.place or place), "changes": changes})
    )
    frame = {
        "path": request.url.path,
        # A page that looks again has its style, and takes what differs below it.
        "dressed": request.headers.get("sec-fetch-dest") != "empty",
        "now": context.daemon.clock.now(),
        "live": shown.follows or live,
        "person": session.name,
        "signed_in": session.signed_in,
        "may": partial(may, caller_of(request.scope)),
        "token": context.sessions.form_token(session),
        "said": context.sessions.said(request.scope),
        "people_wait": waiting["gates"] + waiting["reviews"],
    }
    return rendered(shown.template, **frame, **shown.values)


def may(caller: Caller, right: str, pipeline: str = "") -> bool:
    """Whether a caller may do what a form is for: pages leave out the others. Gates are decided by pipeline."""
    return caller.may_decide(pipeline) if right == Right.APPROVER else caller.may(Right(right))


async def act(context: Context, request: Request, handler: Act, right: Right | None) -> Response:
    """Do what a form of ours asks for, then show the next page (post, redirect, get). It goes on record."""
    action = f"POST {request.scope['route'].path}"
    return await context.audit.served(request, action, right, 303, lambda: _done(context, request, handler))


async def _done(context: Context, request: Request, handler: Act) -> Response:
    check_form_origin(request.scope, context.daemon.settings.http.public_url)
    form = await read_form(request)
    tell({**form, "by": caller_of(request.scope).name or form.get("by", "")})
    session = context.sessions.of(request.scope)
    if session is None or not context.sessions.is_form_token(session, form.get("token", "")):
        raise Problem(403, "this form is from another session, or too old: open its page again, and try once more")
    return answered(context, await handler(context, request, form))


def further(path: str, after: str | None, following: str | None) -> Mapping[str, str]:
    """Where a page of a list by name leads: to the next one, and back to the first."""
    return {
        "more": f"{path}?{urlencode({'after': following})}" if following is not None else "",
        "first": path if after is not None else "",
    }


async def pipeline_names(context: Context) -> list[str]:
    """Those to choose from: the first of those that are loaded here or were anywhere."""
    return await context.views.pipelines(context.daemon.catalogue.pipelines, limit=MOST_NAMES)


async def read_form(request: Request) -> Form:
    """The fields of a form, the first of each name. Raises 413 and what reading a body raises."""
    body = await read_body(request.scope, request.receive, MOST_FORM_BYTES, "the longest form there is")
    read = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    return {name: values[0].replace("\0", "\ufffd").replace("\r\n", "\n") for name, values in read.items()}


def object_of(text: str) -> dict[str, Any]:
    """The JSON object somebody wrote into a field; nothing is an empty one. Raises 400 and 422."""
    value = parse_json(text.encode(), "the field of params") if text.strip() else {}
    if not isinstance(value, dict):
        raise Problem(422, f'params are an object, as {{"months": 6}}: {text[:80]!r} is none')
    return value


def answered(context: Context, done: Done) -> Response:
    """The way to the next page."""
    answer = RedirectResponse(done.to, 303, HEADERS)
    if done.session is not None:
        answer.headers.append("Set-Cookie", context.sessions.cookie(done.session))
    if done.said:
        answer.headers.append("Set-Cookie", context.sessions.saying(done.said))
    return answer


def who(context: Context, request: Request, form: Form) -> tuple[str, Session | None]:
    """Who acts: whoever signed in, else the name the form gives; and the session that remembers that name, if new.

    Raises 422 where nobody is named.
    """
    session, own = context.sessions.of(request.scope), caller_of(request.scope).name
    if own:
        return own, None
    given = form.get("by", "").strip()
    name = session.name if session is not None and session.signed_in and session.name else given
    if not name:
        raise Problem(422, "say who you are: what you do is recorded under your name")
    if session is None or session.name == name:
        return name, None
    return name, replace(session, name=name)
