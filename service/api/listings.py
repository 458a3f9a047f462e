"""Pipelines and triggers: what this daemon would do, and what its triggers hear."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.by_name import QUERY as BY_NAME
from service.api.by_name import asked_by_name, page_of
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.intake import EVENTS, HOOKS
from service.api.pauses import shape as pause_shape
from service.db.pauses import Pause
from service.db.rows import Row
from service.definition import describe
from service.shapes.answers import PipelinesAnswer
from service.shapes.system import BrokerShape, SystemAnswer
from service.shapes.triggers import TriggersAnswer, TriggerShape
from triggers.base import Binding, ListenerState, Trigger
from triggers.schedule import Schedule, rfc3339
from triggers.webhook import Webhook

# Of several listeners to one trigger, the one that hears best speaks for it.
HEARS = (ListenerState.LISTENING, ListenerState.STARTING, ListenerState.RETRYING, ListenerState.STOPPED)
SHOWN_RUNS = 5
ADDRESSES = {"cloudevents": EVENTS, "manual": "/api/v1/pipelines/{pipeline}/runs"}


async def pipelines(context: Context, request: Request) -> Response:
    """A page of the pipelines that are loaded here."""
    names, following = page_of(context.daemon.catalogue.pipelines, *asked_by_name(request))
    return Json({"pipelines": [_described(context, name) for name in names], "next": following})


async def pipeline(context: Context, request: Request) -> Response:
    """One pipeline. Raises `NotFound` naming those there are."""
    return Json(_described(context, request.path_params["pipeline"]))


def _described(context: Context, name: str) -> dict[str, Any]:
    catalogue = context.daemon.catalogue
    return {**describe(catalogue.pipeline(name)), "spec": catalogue.specs[name]}


async def triggers(context: Context, request: Request) -> Response:
    """A page of the triggers declared here or heard of elsewhere, and the sinks."""
    after, limit = asked_by_name(request)
    known = {one["name"]: one for one in await known_triggers(context)}
    names, following = page_of(known, after, limit)
    sinks = await context.views.sinks(context.sinks)
    return Json({"triggers": [known[name] for name in names], "sinks": sinks, "next": following})


async def known_triggers(context: Context) -> list[TriggerShape]:
    """Triggers declared here or heard of elsewhere, with what is known of them."""
    told: dict[str, Mapping[str, Any]] = {}
    mine = context.daemon.writer.daemon
    views = context.views
    statuses, stopping, paused, watches, seen = await asyncio.gather(
        views.trigger_statuses(), views.stopping(), views.pauses(), views.watches(), views.triggers_seen()
    )
    others = [one for one in statuses if one["daemon"] != mine]
    for status in (*_own(context), *others):
        held = told.get(status["binding"])
        if held is None or _rank(status["state"]) < _rank(held["state"]):
            told[status["binding"]] = status
    declared = [_declared(one, told.pop(one.name, None)) for one in context.daemon.catalogue.bindings()]
    shapes = declared + [_elsewhere(status) for status in told.values()]
    shapes = [_with_seen(one, seen.get(one["name"])) for one in shapes]
    unwatched = {one.name for one in context.daemon.catalogue.bindings() if one.trigger.expect_every_s is None}
    shapes = [one if one["name"] in unwatched else _with_silence(one, watches.get(one["name"])) for one in shapes]
    told_of = [_with_stopping(one, stopping.get((one["pipeline"], one["trigger"]))) for one in shapes]
    return [_with_pause(one, paused.holding(one["pipeline"], one["trigger"])) for one in told_of]


def _with_seen(shape: TriggerShape, seen_at: datetime | None) -> TriggerShape:
    """What was seen by a process that is not there any more, or by another, was seen."""
    told = shape["last_seen_at"]
    here_at = datetime.fromisoformat(told) if isinstance(told, str) else told
    return {**shape, "last_seen_at": max((one for one in (here_at, seen_at) if one is not None), default=None)}


def _with_silence(shape: TriggerShape, watch: Row | None) -> TriggerShape:
    if watch is None or not shape["enabled"] or watch["silent_since"] is None:
        return shape
    since, every_s = watch["silent_since"], watch["expect_every_s"]
    told = f"silent since {since:%Y-%m-%d %H:%M:%S} UTC: something is expected every {every_s:g} s"
    note = "; ".join(part for part in (told, shape["note"]) if part)
    return {**shape, "expect_every_s": every_s, "silent_since": since, "note": note}


def _with_pause(shape: TriggerShape, pause: Pause | None) -> TriggerShape:
    if pause is None or not shape["enabled"]:
        return shape
    note = "; ".join(part for part in (pause.tells(), shape["note"]) if part)
    return {**shape, "state": "paused", "paused": pause_shape(pause), "note": note}


def _with_stopping(shape: TriggerShape, runs: Sequence[int] | None) -> TriggerShape:
    if not runs:
        return shape
    named = ", ".join(map(str, runs[:SHOWN_RUNS])) + (" and others" if len(runs) > SHOWN_RUNS else "")
    told = f"batches wait behind run {named}: resume or abandon {'it' if len(runs) == 1 else 'them'}"
    return {**shape, "note": "; ".join(part for part in (shape["note"], told) if part)}


def _own(context: Context) -> list[Mapping[str, Any]]:
    """What the listeners of this process say now; what it reported of them is older, and not looked at."""
    now = context.daemon.clock.now()
    listeners = context.daemon.listeners
    return [{**asdict(status), "reported_at": now} for listener in listeners for status in listener.statuses()]


def _rank(state: str) -> int:
    return HEARS.index(ListenerState(state))


def _declared(binding: Binding, status: Mapping[str, Any] | None) -> TriggerShape:
    trigger = binding.trigger
    listens = trigger.listener() is None
    silent = "disabled" if not trigger.enabled else ListenerState.LISTENING.value if listens else "unheard"
    note = "no living daemon with the role `triggers` listens" if silent == "unheard" else ""
    shape = _with_end(_shape(status or {"state": silent, "note": note}), trigger)
    return {
        **shape,
        "name": binding.name,
        "pipeline": binding.pipeline,
        "trigger": trigger.name,
        "kind": trigger.kind,
        "enabled": trigger.enabled,
        "expect_every_s": trigger.expect_every_s,
        "address": _address(binding),
    }


def _with_end(shape: TriggerShape, trigger: Trigger) -> TriggerShape:
    """A schedule whose clock is kept and that has no tick left."""
    listens = shape["state"] == ListenerState.LISTENING
    if not isinstance(trigger, Schedule) or not listens or shape["next_due_at"] is not None:
        return shape
    ended = "" if trigger.end is None else f": its end is {rfc3339(trigger.end)}"
    note = "; ".join(part for part in (f"not due any more{ended}", shape["note"]) if part)
    return {**shape, "state": "ended", "note": note}


def _elsewhere(status: Mapping[str, Any]) -> TriggerShape:
    pipeline, _, name = status["binding"].partition("/")
    shape = _shape(status)
    return {
        **shape,
        "name": status["binding"],
        "pipeline": pipeline,
        "trigger": name,
        "kind": status["kind"],
    }


def _shape(status: Mapping[str, Any]) -> TriggerShape:
    return {
        "name": "",
        "pipeline": "",
        "trigger": "",
        "kind": "",
        "enabled": True,
        "paused": None,
        "address": None,
        "state": status["state"],
        "note": status["note"],
        "last_seen_at": status.get("last_seen_at"),
        "next_due_at": status.get("next_due_at"),
        "lag_records": status.get("lag_records"),
        "lag_s": status.get("lag_s"),
        "expect_every_s": None,
        "silent_since": None,
        "reported_at": status.get("reported_at"),
    }


def _address(binding: Binding) -> str | None:
    if isinstance(binding.trigger, Webhook):
        return HOOKS + binding.trigger.hook
    address = ADDRESSES.get(binding.trigger.kind)
    return address.replace("{pipeline}", binding.pipeline) if address else None


async def system(context: Context, request: Request) -> Response:
    """The database, who shares it, and what they share."""
    views = context.views
    return Json(
        {
            "database": await views.database(),
            "daemons": await views.daemons(),
            "pools": await views.pools(),
            "sinks": await views.sinks(context.sinks),
            "broker": _broker(context),
        }
    )


def _broker(context: Context) -> BrokerShape | None:
    kafka, given = context.daemon.kafka, context.daemon.settings.kafka
    if kafka is None:
        return None
    return {"bootstrap_servers": kafka.bootstrap_servers, "embedded": given.bootstrap_servers is None}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/pipelines",
        summary="The pipelines this daemon has loaded, by name",
        tag="pipelines",
        handler=pipelines,
        query=BY_NAME,
        answers={200: PipelinesAnswer},
        problems=(422,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/pipelines/{pipeline}",
        summary="One pipeline: stages, arrows, gates, triggers, and the schema of its parameters",
        tag="pipelines",
        handler=pipeline,
        answers={200: dict[str, Any]},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/triggers",
        summary="Triggers by name: whether each hears, when it is due, what it saw last, its lag",
        tag="pipelines",
        handler=triggers,
        query=BY_NAME,
        answers={200: TriggersAnswer},
        problems=(422,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/system",
        summary="The database, the daemons that share it, and their pools",
        tag="system",
        handler=system,
        answers={200: SystemAnswer},
    ),
)
