"""The inbox against its sources: what was recorded in a time, and what a source has of which there is no event."""

from __future__ import annotations

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import KnownBody, ReconcileBody
from service.api.context import Context
from service.api.endpoint import LIMIT, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, query_id, query_limit, read_model
from service.api.window import instant
from service.asking.known import KnownEvents, removed_until
from service.asking.reconciling import reconciled
from service.asking.shapes import KnownAnswer, ReconcileAnswer
from service.asking.which import which
from service.callers import Right
from service.db.inbox_pages import InboxPages
from service.shapes.answers import InboxPage
from triggers.event import event_key
from triggers.reconcile.reconciled import Ground
from triggers.route import WEBHOOK, route_of_source

DAY = timedelta(days=1)
PAGE_QUERY = {
    "from": "accepted at this time or later (RFC 3339); default: a day ago",
    "to": "accepted before this time; default: now",
    "source": "only events of this source",
    "after": "only what comes after this one: `next` of the page before",
    "limit": LIMIT,
}


async def recorded(context: Context, request: Request) -> Response:
    """A page of what was recorded in a time, oldest first."""
    known_only(request, PAGE_QUERY)
    now = context.daemon.clock.now()
    until = _instant(request, "to") or now
    page = await InboxPages(context.daemon.reads, context.daemon.reads.shown).page(
        _instant(request, "from") or until - DAY,
        until,
        source=request.query_params.get("source") or None,
        after=query_id(request, "after"),
        limit=query_limit(request),
    )
    return Json(page)


def _instant(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    return instant(given, name) if given else None


async def known(context: Context, request: Request) -> Response:
    """Which of some events were accepted. Those that came by the hook of a source `tidemill:hooks/...` count as its."""
    body = await read_model(request, context.limit_bytes, KnownBody)
    inbox = KnownEvents(context.daemon.reads)
    keys = {event_key(body.source, one): one for one in body.ids}
    found = {keys[key] for key in await inbox.keys(list(keys))}
    route = route_of_source(body.source)
    if route is not None and route.kind == WEBHOOK:
        found |= await inbox.delivered(route.target, [one for one in keys.values() if one not in found])
    return Json({"known": [one for one in keys.values() if one in found]})


async def compare(context: Context, request: Request) -> Response:
    """Compare one trigger or all with the inbox. Nothing is written unless it is to be repaired."""
    body = await read_model(request, context.limit_bytes, ReconcileBody)
    daemon = context.daemon
    now = daemon.clock.now()
    until = body.until or now
    since = body.since or until - DAY
    if since >= until:
        raise Problem(422, f"from {since.isoformat()} is not before to {until.isoformat()}")
    bindings = [which(daemon.catalogue, body.trigger)] if body.trigger else list(daemon.catalogue.bindings())
    ground = Ground(
        known=KnownEvents(daemon.reads),
        inbox=daemon.inbox,
        root=daemon.settings.root,
        now=now,
        after=since,
        until=until,
        kafka=daemon.kafka,
        removed_until=await removed_until(daemon.reads),
    )
    found = [await reconciled(daemon.catalogue, one, ground, repair=body.repair) for one in bindings]
    answer: ReconcileAnswer = {
        "since": since,
        "until": until,
        "differences": sum(shape["differences"] for shape, _ in found),
        "repaired": sum(made for _, made in found),
        "triggers": [shape for shape, _ in found],
    }
    return Json(answer)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/inbox",
        summary="What was accepted in a time, whole and oldest first, with what became of it",
        tag="events",
        handler=recorded,
        query=PAGE_QUERY,
        answers={200: InboxPage},
        problems=(422,),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/inbox/known",
        only=Right.VIEWER,
        summary="Which of up to 1,000 events of one source were accepted, by their ids",
        tag="events",
        handler=known,
        body=KnownBody,
        answers={200: KnownAnswer},
        problems=(413, 415, 422),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/reconcile",
        summary="Compare sources (ticks, files, Kafka) with the inbox: what has no event, and why; `repair` accepts it",
        tag="events",
        handler=compare,
        body=ReconcileBody,
        needs_body=False,
        answers={200: ReconcileAnswer},
        problems=(404, 413, 415, 422, 429),
    ),
)
