"""Runs: start one by hand, list, show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json, events_answer
from service.api.bodies import StartBody
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Endpoint
from service.api.problems import Problem
from service.api.requests import MOST_LIMIT, known_only, path_id, query_id, query_limit, read_model
from service.api.standing import own_key
from service.api.window import TIMES, window
from service.db.tagged import tagged
from service.errors import Conflict, NotFound
from service.model import RunState
from service.shapes.answers import EventsAnswer, RunDetail, RunEventsPage, RunsPage, RunSummary
from stages.problems import nearest
from stages.secret_params import secret_paths, without
from triggers.base import Arrival, Binding, Fate, Receipt
from triggers.event import Event
from triggers.headers import fold, key_of
from triggers.manual import Manual, manual_event, manual_offer

LIST_QUERY = {
    "pipeline": "only runs of this pipeline",
    "state": "only runs in this state: " + ", ".join(RunState),
    "event": "only runs of the event with this key",
    "tag": "only runs with this tag; may be repeated: with all of them",
    "trigger": "only runs that the trigger of this name started",
    "text": "only runs with this in the subject or id of their event, their trigger or tags",
    **TIMES,
    "before": BEFORE,
    "limit": LIMIT,
}
EVENTS_QUERY = {"after": "only events behind this place; the first is 0", "limit": LIMIT}
# Of pipelines, where somebody asks for one that there is not.
TOLD = 20


async def start(context: Context, request: Request) -> Response:
    """Accept a manual event. The parameters are checked first: what is wrong starts nothing."""
    context.daemon.catalogue.pipeline(request.path_params["pipeline"])
    body = await read_model(request, context.limit_bytes, StartBody)
    event_id = start_id(request, body.id)
    answer, status = await start_by_hand(context, request.path_params["pipeline"], body, event_id)
    return Json(answer, status)


async def start_by_hand(context: Context, name: str, body: StartBody, event_id: str | None) -> tuple[EventsAnswer, int]:
    """What came of it, and the status that says so. Raises `NotFound`, `InvalidParams`, `Conflict` and 422."""
    pipeline = context.daemon.catalogue.pipeline(name)
    now = context.daemon.clock.now()
    event = manual_event(pipeline.name, body.params, body.data, event_id, body.by, now, body.tags)
    trigger = next((one for one in pipeline.on if isinstance(one, Manual)), Manual())
    if not trigger.enabled:
        raise Conflict(f"starting {pipeline.name} by hand is switched off: its trigger {trigger.name} is not enabled")
    offer = replace(manual_offer(Binding(pipeline.name, trigger), event), priority=body.priority)
    if offer.fate is Fate.RAN:
        pipeline.parse_params(offer.params)
    # Of a secret only the run has the value: events are kept and shown as they are.
    event = replace(event, data={**event.data, "params": without(body.params, secret_paths(pipeline.params))})
    receipts = await context.daemon.inbox.accept([Arrival(event, [offer])])
    await _refuse_another(context, event, receipts[0])
    status, answer = events_answer(receipts)
    return answer, status


def start_id(request: Request, given: str | None) -> str | None:
    """What identifies a start: the caller's `Idempotency-Key`, or the `id` given in the body. Raises 422 for two."""
    header = key_of(fold(request.scope["headers"]), "Idempotency-Key")
    if header is not None and given is not None and header != given:
        raise Problem(422, f"Idempotency-Key is {header!r} and id is {given!r}: send one of them")
    return given if header is None else own_key(request.scope, header)


async def _refuse_another(context: Context, event: Event, receipt: Receipt) -> None:
    """Raises 422 where the key was used before for something else (draft-ietf-httpapi-idempotency-key-header)."""
    if receipt.first:
        return
    stored = await context.views.stored_event(event.key)
    before = stored.get("data", {}) if stored else {}
    if any(before.get(name) != event.data.get(name) for name in ("params", "data", "tags")):
        raise Problem(
            422,
            f"{event.id!r} was used before to start {event.subject} with other params or data or tags: use another key",
            runs=[one.run_id for one in receipt.outcomes],
        )


async def list_runs(context: Context, request: Request) -> Response:
    """A page of runs."""
    known_only(request, LIST_QUERY, several=("tag",))
    query = request.query_params
    asked = {name: query.get(name, "") for name in LIST_QUERY}
    tags = [tag for tag in query.getlist("tag") if tag]
    page = await runs_page(context, asked, tags, query_id(request, "before"), query_limit(request))
    if not page["runs"] and query.get("pipeline"):
        await refuse_unknown_pipeline(context, query["pipeline"])
    return Json(page)


async def runs_page(
    context: Context, asked: Mapping[str, str], tags: Sequence[str], before: int | None, limit: int
) -> RunsPage:
    """What is asked for by the names of `LIST_QUERY`. Raises 422."""
    state, trigger, text = asked["state"] or None, asked["trigger"] or None, asked["text"] or None
    if state is not None and state not in set(RunState):
        raise Problem(422, f"state={state[:80]!r}: expected one of {', '.join(RunState)}")
    event = event_key(asked["event"])
    among = await tagged(context.daemon.reads, tags)
    searches = bool(trigger or text or (tags and among is None))
    part = await window(asked, before, context.views.run_at, searches=searches)

    async def find(first: int | None, before: int | None, limit: int) -> tuple[list[RunSummary], int | None]:
        found = await context.views.runs(
            pipeline=asked["pipeline"] or None,
            state=state,
            event=event,
            tags=tags,
            before=before,
            limit=limit,
            first=first,
            trigger=trigger,
            text=text,
            among=among,
        )
        return found["runs"], found["next"]

    (runs, further), reviews = await asyncio.gather(part.page(limit, find), context.views.reviews_open())
    return {"runs": runs, "reviews_open": reviews, "next": further}


async def refuse_unknown_pipeline(context: Context, name: str) -> None:
    """Raises `NotFound` for a pipeline that no daemon ever loaded."""
    loaded = context.daemon.catalogue.pipelines
    if name in loaded or await context.daemon.reads.row("pipeline_versions", name, "", 1, None) is not None:
        return
    known = await context.views.pipelines(loaded, limit=MOST_LIMIT)
    there = ", ".join(known[:TOLD]) + (" and others" if len(known) > TOLD else "") or "none"
    raise NotFound(f"no pipeline {name[:80]!r} is known; there are {there}{nearest(name, known)}")


def event_key(given: str | None) -> UUID | None:
    """The key of an event in a query, if there is any. Raises 422."""
    if not given:
        return None
    try:
        return UUID(given)
    except ValueError:
        raise Problem(422, f"event={given[:80]!r}: expected the key of an event, a UUID") from None


async def events(context: Context, request: Request) -> Response:
    """The events that share a run, a page of them."""
    known_only(request, EVENTS_QUERY)
    run_id = path_id(request, "run", "run")
    if await context.views.run_state(run_id) is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    after = query_id(request, "after")
    return Json(await context.views.run_events(run_id, after=after, limit=query_limit(request)))


async def show(context: Context, request: Request) -> Response:
    """Everything about a run."""
    return Json(await found_run(context, request))


async def found_run(context: Context, request: Request) -> RunDetail:
    """The run in the path. Raises `NotFound`."""
    return await run_called(context, path_id(request, "run", "run"))


async def run_called(context: Context, run_id: int) -> RunDetail:
    """The run of that number. Raises `NotFound`."""
    run = await context.views.run(run_id, context.daemon.catalogue.pipelines)
    if run is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    return run


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/pipelines/{pipeline}/runs",
        summary="Start a run by hand; a repeat of the same key answers 200 with the first run",
        tag="runs",
        handler=start,
        headers={"Idempotency-Key": "identifies this start, so that sending it again is safe"},
        keeps_key=True,
        body=StartBody,
        needs_body=False,
        answers={200: EventsAnswer, 202: EventsAnswer},
        problems=(404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs",
        summary="Runs, newest first",
        tag="runs",
        handler=list_runs,
        query=LIST_QUERY,
        answers={200: RunsPage},
        problems=(404, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}",
        summary="A run: its event, stages, attempts, gates, and what it waits for",
        tag="runs",
        handler=show,
        answers={200: RunDetail},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/events",
        summary="The events that share a run, with all they carry, in the order in which they were accepted",
        tag="runs",
        handler=events,
        query=EVENTS_QUERY,
        answers={200: RunEventsPage},
        problems=(404, 422),
    ),
)
