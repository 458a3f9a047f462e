"""Events: the list with its filters; one event, its fate in words, and running it again."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from starlette.requests import Request

from service.api.asking import explain_again
from service.api.bodies import ReplayBody
from service.api.context import Context
from service.api.events import events_page, found_event
from service.api.replays import replay_event_of
from service.api.requests import query_id
from service.api.window import TIMES
from service.console.look import named
from service.console.page import Done, Form, Shown, pipeline_names, who
from triggers.base import Fate

LIMIT = 50
FILTERS = ("pipeline", "trigger", "fate", "type", "source", "key", "text", *TIMES)


async def events(context: Context, request: Request) -> Shown:
    """A page of events; what is asked for stands in the address."""
    asked = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    narrowed = {name: given for name, given in asked.items() if given}
    asking = events_page(context, asked, None, query_id(request, "before"), LIMIT)
    page, names = await asyncio.gather(asking, pipeline_names(context))
    further = page["next"]
    values: dict[str, Any] = {
        "title": "Events",
        "asked": asked,
        "narrowed": narrowed,
        "fates": list(Fate),
        "pipelines": names,
        "page": page,
        "full": len(page["events"]) == LIMIT,
        "since": None,
    }
    if further and not values["full"]:
        looked_to = await context.daemon.reads.row("accepted_at", further)
        values["since"] = looked_to["at"] if looked_to else None
    values["older"] = urlencode({**narrowed, "before": further}) if further else ""
    values["newest"] = urlencode(narrowed) if "before" in request.query_params else None
    return Shown("events.html", values)


async def event(context: Context, request: Request) -> Shown:
    """One event by key or id: what it says, what became of it and why."""
    found = await found_event(context, request.path_params["event"])
    ran = [one["pipeline"] for one in found["outcomes"] if one["run"] is not None]
    values = {
        "title": f"Event {named(found)}",
        "event": found,
        "replayable": ran or [one["pipeline"] for one in found["outcomes"]],
        "once": str(uuid4()),
    }
    return Shown("event.html", values)


async def explained(context: Context, request: Request) -> Shown:
    """What each trigger would make of the event now."""
    found = await explain_again(context, request.path_params["event"])
    order = sorted(found["triggers"], key=lambda one: (one["fate"] is None, one["fate"] == Fate.IGNORED))
    values = {"title": "What would become of it now", "found": found, "verdicts": order}
    return Shown("explain.html", values, live=None)


async def replayed(context: Context, request: Request, form: Form) -> Done:
    """Run an event again, in shadow unless its effects are wanted."""
    by, session = who(context, request, form)
    body = ReplayBody(
        event=request.path_params["event"],
        pipeline=form.get("pipeline") or None,
        effects=form.get("effects") == "yes",
        reuse=form.get("anew") != "yes",
        by=by,
    )
    answer, _ = await replay_event_of(context, body, form.get("once") or str(uuid4()))
    how = "in shadow: it changes nothing outside" if answer["shadow"] else "with its effects"
    return Done(f"/runs/{quote(str(answer['run']))}", f"{by} runs the event again, {how}.", session)
