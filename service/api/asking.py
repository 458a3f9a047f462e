"""Asking before trusting: what an event would do. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import ExplainBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.events import found_event
from service.api.problems import Problem
from service.api.requests import read_model
from service.asking.foresight import arrival, listening, offers, verdicts
from service.asking.given import Asked, Given, given
from service.asking.shapes import EventExplained
from service.asking.standing import Standings
from service.db.accept import RunRow
from service.shapes import OutcomeShape
from triggers.cloudevents import restore, to_json
from triggers.route import route_of


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
        found = await found_event(context, body.event)
        event = restore(found["cloudevent"])
        return Given(event, route_of(event, str(root))), found
    asked = Asked(body.payload, body.form or "", body.headers)
    made = await given(asked, context.daemon.catalogue, root, context.daemon.clock.now())
    return made, await context.views.event(made.event.key, "")


async def explained(context: Context, asked: Given, known: Mapping[str, Any] | None) -> EventExplained:
    """The whole answer. Raises `DatabaseUnavailable`."""
    daemon = context.daemon
    outcomes: list[OutcomeShape] = known["outcomes"] if known is not None else []
    bindings = listening(daemon.catalogue)
    offered = offers(bindings, asked, {(one["pipeline"], one["trigger"]) for one in outcomes})
    decided = daemon.inbox.decided(arrival(asked, offered))
    standings = Standings(daemon.reads, context.views)
    runs = [
        await standings.foretell(row, daemon.catalogue.pipelines[row.pipeline].policy)
        for row in decided
        if isinstance(row, RunRow)
    ]
    return {
        "key": str(asked.event.key),
        "cloudevent": to_json(asked.event),
        "route": str(asked.route),
        "known": known is not None,
        "outcomes": outcomes,
        "runs": runs,
        "triggers": verdicts(bindings, asked, offered, decided),
    }


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/explain",
        summary="What an event would do: which triggers would start which runs, and why the others would not",
        tag="events",
        handler=explain,
        body=ExplainBody,
        answers={200: EventExplained},
        problems=(404, 413, 415, 422),
    ),
)
