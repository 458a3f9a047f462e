"""Events: the list with its filters; one event, its fate in words, and running it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from starlette.requests import Request

from service.api.asking import explain_again
from service.api.bodies import ReplayBody
from service.api.context import Context
from service.api.events import found_event
from service.api.problems import Problem
from service.api.replays import replay_event_of
from service.api.requests import query_id
from service.console.page import Done, Form, Shown, who
from service.console.window import TIMES, Window, window
from service.known_secrets import known_secrets
from service.shapes import EventsPage
from stages.secrets import Secrets
from triggers.base import Fate

LIMIT = 50
RARE = frozenset(Fate) - {Fate.RAN, Fate.COALESCED, Fate.IGNORED}
FILTERS = ("type", "source", "fate", "key", "text", *TIMES)


async def events(context: Context, request: Request) -> Shown:
    """A page of events; what is asked for stands in the address."""
    asked = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    narrowed = {name: given for name, given in asked.items() if given}
    if (asked["fate"] or Fate.RAN) not in set(Fate):
        raise Problem(422, f"fate={asked['fate'][:80]!r}: expected one of {', '.join(Fate)}")
    page, further = await _found(context, asked, query_id(request, "before"))
    values: dict[str, Any] = {
        "title": "Events",
        "asked": asked,
        "narrowed": narrowed,
        "fates": list(Fate),
        "page": page,
    }
    values["older"] = urlencode({**narrowed, "before": further}) if further else ""
    values["newest"] = urlencode(narrowed) if "before" in request.query_params else None
    return Shown("events.html", values)


async def _found(context: Context, asked: Mapping[str, str], before: int | None) -> tuple[EventsPage, int | None]:
    """What is asked for, and where to look on. Raises 422."""
    views, fate = context.views, Fate(asked["fate"]) if asked["fate"] else None
    if asked["key"]:
        return await views.events_called(_key(asked["key"]), asked["key"]), None
    if fate in RARE and any(asked[name] for name in ("text", *TIMES)):
        raise Problem(422, f"events that are {fate} are listed as that was decided: ask without text and days")
    part = Window(None, before, begins=True)
    if fate not in RARE:
        part = await window(asked, before, views.event_at, searches=bool(asked["text"]))
    page = await views.events(
        kind=asked["type"] or None,
        source=asked["source"] or None,
        fate=fate,
        before=part.before,
        limit=LIMIT,
        first=part.first,
        text=asked["text"] or None,
    )
    return page, part.further(page["next"])


def _key(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None


async def event(context: Context, request: Request) -> Shown:
    """One event by key or id: what it says, what became of it and why."""
    found = await found_event(context, request.path_params["event"])
    ran = [one["pipeline"] for one in found["outcomes"] if one["run"] is not None]
    values = {
        "title": f"Event {found['subject'] or found['id']}",
        "event": found,
        "payload": _secrets(context).mask_fields(found["cloudevent"]),
        "replayable": ran or [one["pipeline"] for one in found["outcomes"]],
    }
    return Shown("event.html", values)


async def explained(context: Context, request: Request) -> Shown:
    """What each trigger would make of the event now."""
    found = await explain_again(context, request.path_params["event"])
    order = sorted(found["triggers"], key=lambda one: (one["fate"] is None, one["fate"] == Fate.IGNORED))
    values = {"title": "What would become of it now", "found": found, "verdicts": order}
    return Shown("explain.html", values, live=None)


def _secrets(context: Context) -> Secrets:
    triggers = [one.trigger for one in context.daemon.catalogue.bindings()]
    return known_secrets(context.daemon.settings, triggers)


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
