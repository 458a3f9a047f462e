"""Asking before trusting: what an event would do, and making the event that a trigger would make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json, events_answer
from service.api.bodies import ExplainBody, FireBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.events import event_itself, meant_event
from service.api.problems import Problem
from service.api.requests import read_model
from service.api.runs import start_id
from service.asking.admitting import foreseen
from service.asking.foresight import arrival, listening, offers, verdicts
from service.asking.given import Asked, Given, given
from service.asking.shapes import EventExplained, FireAnswer
from service.asking.standing import Standings
from service.asking.which import which
from service.callers import Right
from service.db.envelopes import as_shown
from service.db.offered import RunRow
from service.shapes.answers import EventAnswer, OutcomeShape
from service.terms import judged
from stages.secret_params import secret_paths
from triggers.base import Binding
from triggers.cloudevents import to_json
from triggers.event import Event
from triggers.firing import FIRED_WITH, Firing
from triggers.firing import fire as make_event
from triggers.marked import hidden
from triggers.route import Route, route_of


async def explain(context: Context, request: Request) -> Response:
    """Every trigger's answer to an event, and the runs that would start."""
    body = await read_model(request, context.limit_bytes, ExplainBody)
    if (body.event is None) == (not body.payload and body.form is None):
        raise Problem(422, "give either `event`, the id or key of an accepted one, or a `payload` (and `as`)")
    asked, known = await _asked(context, body)
    return Json(await explained(context, asked, known))


async def _asked(context: Context, body: ExplainBody) -> tuple[Given, Mapping[str, Any] | None]:
    """The event, and what is known of it where it was accepted before."""
    root = context.daemon.settings.root
    if body.event is not None:
        return await _accepted(context, body.event)
    asked = Asked(body.payload, body.form or "", body.headers, body.record_key or "")
    made = await given(asked, context.daemon.catalogue, root, context.daemon.clock.now())
    marked = made.holding(context.daemon.catalogue.secrets_at(made.route))
    return marked, await context.views.event(made.event.key, "")


async def explain_again(context: Context, event: str) -> EventExplained:
    """What an accepted event would do now, by its id or key. Raises `NotFound` and 409."""
    asked, known = await _accepted(context, event)
    return await explained(context, asked, known)


async def _accepted(context: Context, given: str) -> tuple[Given, Mapping[str, Any]]:
    found = await meant_event(context, given)
    event = await event_itself(context, found["key"])
    return Given(event, route_of(event, str(context.daemon.settings.root))), found


async def explained(
    context: Context, asked: Given, known: Mapping[str, Any] | None, only: Binding | None = None
) -> EventExplained:
    """The whole answer, or that of one trigger alone. Raises `DatabaseUnavailable`."""
    daemon, asked = context.daemon, replace(asked, event=hidden(asked.event))
    outcomes: list[OutcomeShape] = known["outcomes"] if known is not None else []
    bindings = listening(daemon.catalogue) if only is None else [only]
    heard = {(one["pipeline"], one["trigger"]) for one in outcomes}
    offered = offers(bindings, asked, heard if only is None else {(only.pipeline, only.trigger.name)})
    now = daemon.clock.now()
    [timely] = judged([arrival(asked, offered)], now)
    offered = {(one.pipeline, one.trigger): one for one in timely.offers}
    found = await foreseen(daemon.reads, daemon.inbox.decided(timely), now)
    standings = Standings(daemon.reads, context.views)
    runs = [
        await standings.foretell(row, made.policy, secret_paths(made.params))
        for row in found.winners
        if isinstance(row, RunRow)
        for made in [daemon.catalogue.pipelines[row.pipeline]]
    ]
    return {
        "key": str(asked.event.key),
        "cloudevent": as_shown(to_json(asked.event), daemon.reads.secrets),
        "route": str(asked.route),
        "known": known is not None,
        "outcomes": outcomes,
        "runs": runs,
        "triggers": verdicts(bindings, asked, offered, found),
    }


async def fire(context: Context, request: Request) -> Response:
    """Accept the event that a trigger would make, or only tell what would become of it."""
    body = await read_model(request, context.limit_bytes, FireBody)
    answer, status = await fire_trigger(context, body, start_id(request, body.id))
    return Json(answer, status)


async def fire_trigger(context: Context, body: FireBody, given: str | None) -> tuple[FireAnswer, int]:
    """What came of it, and the status that says so. Raises `NotFound`, `Invalid` and 422."""
    daemon, key = context.daemon, given or str(uuid4())
    binding = which(daemon.catalogue, body.name)
    firing = Firing(
        pipeline=binding.pipeline,
        now=daemon.clock.now(),
        root=daemon.settings.root,
        payload=body.payload,
        path=body.path or "",
        headers=body.headers,
        wanted_at=body.at,
        record_key=body.record_key or "",
    )
    made = await make_event(binding.trigger, firing, key, body.by)
    known = await context.views.event(made.event.key, "")
    _refuse_another(key, binding, made.event, known)
    asked = Given(made.event, _route_to(binding), made.dead).holding(daemon.catalogue.secrets_beside(binding.trigger))
    if body.dry_run:
        return _fired(
            context, binding, asked.event, explained=await explained(context, asked, known, only=binding)
        ), 200
    heard = {(binding.pipeline, binding.trigger.name)}
    receipts = await daemon.inbox.accept([arrival(asked, offers([binding], asked, heard))])
    status, answer = events_answer(receipts)
    return _fired(context, binding, receipts[0].event, events=answer["events"]), status


def _route_to(binding: Binding) -> Route:
    """By which way what is fired comes: straight to its trigger."""
    return Route("fired", binding.name)


def _refuse_another(key: str, binding: Binding, event: Event, known: Mapping[str, Any] | None) -> None:
    """Raises 422 where the key was used before for something else."""
    if known is not None and known["cloudevent"].get(FIRED_WITH) != event.extensions[FIRED_WITH]:
        raise Problem(422, f"{key!r} was used before to fire {binding.name} with something else: use another key")


def _fired(
    context: Context,
    binding: Binding,
    event: Event,
    *,
    events: Sequence[EventAnswer] = (),
    explained: EventExplained | None = None,
) -> FireAnswer:
    return {
        "trigger": binding.name,
        "dry_run": explained is not None,
        "cloudevent": as_shown(to_json(hidden(event)), context.daemon.reads.secrets),
        "events": list(events),
        "explained": explained,
    }


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/fire",
        summary="Make the event that a trigger would make, as a real one; a repeat of the same key answers 200",
        tag="events",
        handler=fire,
        headers={"Idempotency-Key": "identifies this event, so that sending it again is safe"},
        keeps_key=True,
        body=FireBody,
        answers={200: FireAnswer, 202: FireAnswer},
        problems=(404, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/explain",
        only=Right.VIEWER,
        summary="What an event would do: which triggers would start which runs, and why the others would not",
        tag="events",
        handler=explain,
        body=ExplainBody,
        answers={200: EventExplained},
        problems=(404, 409, 413, 415, 422),
    ),
)
