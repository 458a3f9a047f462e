"""One-time links for chat: made for one person and one decision, shown by GET, used by POST alone."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, quote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.api.answers import Json
from service.api.bodies import DecideBody, LinkBody
from service.api.context import Context
from service.api.endpoint import Content, Endpoint
from service.api.front import DECIDE
from service.api.gates import DECISIONS, Verb, decide, named, refuse_ended, standing_of
from service.api.problems import TOLD, Problem, problem_of
from service.api.requests import read_body, read_model
from service.api.runs import found_run, run_called
from service.api.standing import require_gate, require_link_for
from service.audit import tell
from service.callers import Right
from service.console.look import HEADERS, rendered
from service.db.links import PutLink, known_key, new_key
from service.links import InvalidLink, Link, read, sign
from service.model import GateState
from service.shapes.answers import RunDetail
from service.shapes.gates import GateShape, LinkShape
from triggers.approval import Decision

MOST_BYTES = 16_384
# The address is a secret while it can be used: nobody is told of it.
SECRET = {**HEADERS, "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
MOST_REASON = 1000
BY_DECISION: Mapping[Decision, Verb] = {"approved": "approve", "rejected": "reject"}


async def make(context: Context, request: Request) -> Response:
    """A link by which one person decides a waiting gate, about the artifact it asks about now."""
    body = await read_model(request, context.limit_bytes, LinkBody)
    run = await found_run(context, request)
    require_gate(request.scope, run["pipeline"])
    require_link_for(request.scope, body.person)
    gate = named(run, request.path_params["gate"])
    _refuse_decided(run, gate)
    standing_of(context, run, gate, body.person)
    secret = await _secret(context)
    made = Link(
        id=uuid4(),
        run_id=run["id"],
        gate=gate["name"],
        subject=gate["subject"] or "",
        person=body.person,
        decision=DECISIONS[body.decision],
        expires_at_s=int(context.daemon.clock.now().timestamp() + body.expires_s),
    )
    [expires_at] = await context.write(PutLink(made, body.by, body.expires_s))
    base = (context.daemon.settings.http.public_url or context.daemon.address).rstrip("/")
    answer: LinkShape = {
        "run": run["id"],
        "gate": gate["name"],
        "person": body.person,
        "decision": made.decision,
        "subject": made.subject,
        "expires_at": expires_at,
        "url": f"{base}{DECIDE}{quote(sign(made, secret))}",
    }
    return Json(answer, 201, {"Cache-Control": "no-store"})


async def show(context: Context, request: Request) -> Response:
    """The page of a link. It changes nothing, whoever fetches it: chats look at links before people do."""
    try:
        link = await _link(context, request)
        run, gate = await _waiting(context, link)
    except TOLD as error:
        return _told(error)
    row = await context.daemon.reads.row("show_link", link.id)
    if row is None:
        return _told(_gone())
    verb = BY_DECISION[link.decision].capitalize()
    told = {"title": f"{verb} gate {link.gate}?", "verb": verb, "expires_at": row["expires_at"]}
    page = rendered("decide.html", link=link, pipeline=run["pipeline"], gate=gate, **told)
    return HTMLResponse(page, headers=SECRET)


async def use(context: Context, request: Request) -> Response:
    """Decide. The vote, its event and the end of the link are one transaction."""
    try:
        link = await _link(context, request)
        form = parse_qs((await read_body(request.scope, request.receive, MOST_BYTES)).decode("utf-8", "replace"))
        if form.get("confirm") != [link.decision]:
            raise Problem(422, "press the button on the page of this link")
        tell({"by": link.person, "run": link.run_id, "gate": link.gate, "decision": link.decision})
        run, gate = await _waiting(context, link)
        reason = form.get("reason", [""])[0].replace("\0", "\ufffd")[:MOST_REASON]
        body = DecideBody(by=link.person, reason=reason, subject=link.subject or None)
        done = await decide(context, run, gate, BY_DECISION[link.decision], body, link.id)
    except TOLD as error:
        return _told(error)
    stands = f"gate {done['gate']} of run {done['run']} is {done['state']}: {done['reason'] or done['decided_by']}"
    title = f"{link.decision.capitalize()} by {link.person}"
    return HTMLResponse(rendered("told.html", title=title, detail=stands), headers=SECRET)


async def _link(context: Context, request: Request) -> Link:
    """The link in the path, if it can still be used. Raises 404 or 410."""
    secret = _configured(context) or await known_key(context.daemon.reads)
    try:
        link = read(request.path_params["token"], secret or b"")
    except InvalidLink as error:
        raise Problem(404, str(error)) from None
    row = None if secret is None else await context.daemon.reads.row("show_link", link.id)
    if row is None:
        raise _gone()
    if row["used_at"] is not None:
        raise Problem(410, f"this link was used at {row['used_at']:%Y-%m-%d %H:%M:%S} UTC: it works once")
    if row["expired"]:
        raise Problem(410, f"this link could be used until {row['expires_at']:%Y-%m-%d %H:%M} UTC: ask for another")
    return link


async def _waiting(context: Context, link: Link) -> tuple[RunDetail, GateShape]:
    """The run and the gate it is about, if that still asks the same. Raises 403, 404 or 409."""
    run = await run_called(context, link.run_id)
    gate = named(run, link.gate)
    _refuse_decided(run, gate)
    if (gate["subject"] or "") != link.subject:
        raise Problem(
            409, f"gate {link.gate} of run {link.run_id} asks about something else by now: ask for another link"
        )
    standing_of(context, run, gate, link.person)
    return run, gate


def _refuse_decided(run: RunDetail, gate: GateShape) -> None:
    refuse_ended(run, gate)
    if gate["state"] != GateState.WAITING:
        which = f"gate {gate['name']} of run {run['id']}"
        by = f" by {gate['decided_by']}" if gate["decided_by"] else ""
        raise Problem(409, f"{which} is not waiting: it is {gate['state']}{by}", state=gate["state"])


def _gone() -> Problem:
    return Problem(410, "this link is not known any more: ask for another")


async def _secret(context: Context) -> bytes:
    """What links are signed with: of the settings, or made once for the installation."""
    secret = _configured(context) or await known_key(context.daemon.reads)
    if secret is None:
        [secret] = await context.write(new_key())
    return secret


def _configured(context: Context) -> bytes | None:
    given = context.daemon.settings.http.link_key
    return given.encode() if given else None


def _told(error: Exception) -> Response:
    problem = problem_of(error)
    page = rendered("told.html", title="Nothing was decided", detail=str(problem))
    return HTMLResponse(page, problem.status, headers={**SECRET, **problem.headers})


PAGE = Content(media_type="text/html")
ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/runs/{run}/gates/{gate}/links",
        summary="Make a one-time link by which one person decides a waiting gate",
        tag="gates",
        handler=make,
        body=LinkBody,
        only=Right.APPROVER,
        answers={201: LinkShape},
        problems=(403, 404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="GET",
        path=f"{DECIDE}{{token}}",
        summary="The page of a one-time link; looking at it changes nothing",
        tag="gates",
        handler=show,
        answers={200: PAGE, 404: PAGE, 409: PAGE, 410: PAGE},
        open=True,
    ),
    Endpoint(
        method="POST",
        path=f"{DECIDE}{{token}}",
        summary="Use a one-time link, once",
        tag="gates",
        handler=use,
        body=Content(media_type="application/x-www-form-urlencoded"),
        answers={200: PAGE, 404: PAGE, 409: PAGE, 410: PAGE, 422: PAGE},
        open=True,
    ),
)
