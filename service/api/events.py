"""Events: send CloudEvents (served by the intake), list, and tell what became of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Content, Endpoint
from service.api.intake import EVENTS, HOOKS
from service.api.problems import Problem
from service.api.requests import known_only, query_id, query_limit
from service.api.runs import refuse_unknown_pipeline
from service.api.window import TIMES, moment, window
from service.db.views import WantedEvents
from service.errors import NotFound
from service.shapes.answers import EventFate, EventsAnswer, EventsPage, EventSummary
from triggers.base import Fate
from triggers.event import Event

LIST_QUERY = {
    "type": "only events of this CloudEvents type, or of those that begin with it and a dot",
    "source": "only events of this source",
    "fate": f"only events with this fate in some pipeline: {', '.join(Fate)}",
    "pause": "with fate=paused, only events that this pause held back, by its number",
    "pipeline": "only events that led to something in this pipeline",
    "trigger": "only events that led to something by the trigger of this name",
    "key": "only the event with this key, or with this id",
    "text": "only events with this in their subject, id, source or type",
    **TIMES,
    "before": BEFORE,
    "limit": LIMIT,
}
CLOUDEVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {name: {"type": "string", "minLength": 1} for name in ("specversion", "id", "source", "type")},
}


async def list_events(context: Context, request: Request) -> Response:
    """A page of events."""
    known_only(request, LIST_QUERY)
    pause = query_id(request, "pause")
    asked = {name: request.query_params.get(name, "") for name in LIST_QUERY}
    page = await events_page(context, asked, pause, query_id(request, "before"), query_limit(request))
    if not page["events"] and asked["pipeline"]:
        await refuse_unknown_pipeline(context, asked["pipeline"])
    return Json(page)


async def events_page(
    context: Context, asked: Mapping[str, str], pause: int | None, before: int | None, limit: int
) -> EventsPage:
    """What is asked for by the names of `LIST_QUERY`. Raises 422."""
    views, fate = context.views, _fate(asked)
    if pause is not None and fate != Fate.PAUSED:
        raise Problem(422, "pause: it goes with fate=paused")
    if asked.get("key"):
        return await views.events_called(_as_key(asked["key"]), asked["key"])
    wanted = WantedEvents(
        kind=asked.get("type") or None,
        source=asked.get("source") or None,
        fate=fate,
        pause=pause,
        pipeline=asked.get("pipeline") or None,
        trigger=asked.get("trigger") or None,
        text=asked.get("text") or None,
    )
    if wanted.is_rare:
        decided = replace(wanted, since=moment(asked, "since"), until=moment(asked, "until"))
        return await views.events(decided, before=before, limit=limit)
    part = await window(asked, before, views.event_at, searches=wanted != WantedEvents())

    async def find(first: int | None, before: int | None, limit: int) -> tuple[list[EventSummary], int | None]:
        found = await views.events(replace(wanted, first=first), before=before, limit=limit)
        return found["events"], found["next"]

    events, further = await part.page(limit, find)
    return {"events": events, "next": further}


def _fate(asked: Mapping[str, str]) -> Fate | None:
    fate = asked.get("fate")
    if fate and fate not in set(Fate):
        raise Problem(422, f"fate={fate[:80]!r}: expected one of {', '.join(Fate)}")
    return Fate(fate) if fate else None


async def show(context: Context, request: Request) -> Response:
    """One event, by key or id: an id is unique only within its source, so the newest is told and the others named."""
    return Json(await found_event(context, request.path_params["event"]))


async def found_event(context: Context, given: str) -> EventFate:
    """The event with this key, or the newest with this id. Raises `NotFound`."""
    event = await context.views.event(_as_key(given), given)
    if event is None:
        raise NotFound(f"no event has the id or key {given[:200]!r}: it was never accepted here")
    return event


async def event_itself(context: Context, key: str) -> Event:
    """An event that was found, with its secrets: to run or to decide again. Raises `NotFound`."""
    event = await context.views.event_itself(UUID(key))
    if event is None:
        raise NotFound(f"event {key} was removed just now")
    return event


async def meant_event(context: Context, given: str) -> EventFate:
    """As `found_event`, for whoever acts on it. Raises `Problem` where the id is that of several events."""
    found = await found_event(context, given)
    if found["others"] and _as_key(given) != UUID(found["key"]):
        one_by_one = ", ".join(f"{one['key']} of {one['source']}" for one in (found, *found["others"]))
        raise Problem(409, f"{given[:200]!r} is the id of several events: say which by its key: {one_by_one}")
    return found


def _as_key(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None


SEND = Endpoint(
    method="POST",
    path=EVENTS,
    summary="Send a CloudEvent, or a batch: binary, structured or batched as the HTTP binding has it",
    tag="events",
    query={"access_token": "the API token, for senders that cannot set a header"},
    body=(
        Content(media_type="application/cloudevents+json", schema=CLOUDEVENT),
        Content(media_type="application/cloudevents-batch+json", schema={"type": "array", "items": CLOUDEVENT}),
        Content(media_type="*/*", schema={}),
    ),
    answers={200: EventsAnswer, 202: EventsAnswer},
    problems=(413, 415, 422, 429),
)
ENDPOINTS = (
    Endpoint(
        method="POST",
        path=HOOKS + "{hook}",
        summary="Deliver a webhook; signed hooks need no token. 204 answers a ping, 200 a delivery that was known",
        tag="events",
        body=(
            Content(media_type="application/json", schema={}),
            Content(media_type="application/x-www-form-urlencoded"),
        ),
        answers={200: EventsAnswer, 202: EventsAnswer, 204: None},
        problems=(404, 413, 415, 422, 429),
    ),
    SEND,
    Endpoint(
        method="OPTIONS",
        path=EVENTS,
        summary="Ask whether events may be sent (HTTP webhooks for CloudEvents, section 4)",
        tag="events",
        query={"access_token": "the API token, for senders that cannot set a header"},
        headers={"WebHook-Request-Origin": "who wants to send"},
        answers={204: None},
    ),
    Endpoint(
        method="GET",
        path=EVENTS,
        summary="Accepted events, newest first, with what became of them",
        tag="events",
        handler=list_events,
        query=LIST_QUERY,
        answers={200: EventsPage},
        problems=(404, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/events/{event:path}",
        summary="One event by its id or key, and what became of it",
        tag="events",
        handler=show,
        answers={200: EventFate},
        problems=(404,),
    ),
)
