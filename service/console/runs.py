"""Runs: the list with its filters, and one run whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request

from service.api.context import Context
from service.api.requests import path_id, query_id
from service.api.runs import run_called, runs_page
from service.api.window import TIMES
from service.console.gantt import chart
from service.console.page import Shown, pipeline_names
from service.console.reviews import asks
from service.console.upright import Drawings, both
from service.db.rows import Row
from service.logs.pages import Wanted
from service.model import GateState, RunState
from service.reviews import may_skip
from service.shapes.answers import RunDetail, StageShape
from service.words.deeds import deeds

LIMIT = 50
LINES = 200
FILTERS = ("pipeline", "state", "tag", "event", "trigger", "text", *TIMES)


async def runs(context: Context, request: Request) -> Shown:
    """A page of runs; what is asked for stands in the address."""
    asked = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    narrowed = {name: given for name, given in asked.items() if given}
    tags = [asked["tag"]] if asked["tag"] else []
    asking = runs_page(context, asked, tags, query_id(request, "before"), LIMIT)
    page, names = await asyncio.gather(asking, pipeline_names(context))
    further = page["next"]
    values: dict[str, Any] = {
        "title": "Runs",
        "asked": asked,
        "narrowed": narrowed,
        "states": list(RunState),
        "pipelines": names,
        "page": page,
        "full": len(page["runs"]) == LIMIT,
        "since": None,
    }
    if further and not values["full"]:
        looked_to = await context.daemon.reads.row("queued_at", further)
        values["since"] = looked_to["at"] if looked_to else None
    values["older"] = urlencode({**narrowed, "before": further}) if further else ""
    values["newest"] = urlencode(narrowed) if "before" in request.query_params else None
    live = {"pipeline": asked["pipeline"]} if asked["pipeline"] else {}
    return Shown("runs.html", values, live=live)


async def is_known(context: Context, request: Request) -> bool:
    """Whether there is the run of a page. Raises 404 for what is no number."""
    return await context.views.run_state(path_id(request, "run", "run")) is not None


async def run(context: Context, request: Request) -> Shown:
    """Everything about a run."""
    found = await run_called(context, path_id(request, "run", "run"))
    definition = await definition_of(context, found)
    standing = await context.daemon.reads.fetch("production_of", found["pipeline"])
    groups = {group.name: list(group.people) for group in context.daemon.settings.groups}
    spared = _spared(found, definition)
    values = {
        "title": f"Run {found['id']} of {found['pipeline']}",
        "run": found,
        "drawing": drawing(definition),
        "chart": chart(found, context.daemon.clock.now()),
        "inputs": {stage["name"]: stage["inputs"] for stage in definition.get("stages", ())},
        "gates": {gate["name"]: gate for gate in found["gates"]},
        "stages": {stage["name"]: stage for stage in found["stages"]},
        "groups": groups,
        "deeds": deeds(found),
        "standing": _beside(found, standing),
        "spared": spared,
        "asks": asks(context, found["pipeline"], spared),
    }
    return Shown("run.html", values, live={"run": found["id"]})


def _spared(found: RunDetail, definition: Mapping[str, Any]) -> str:
    """The stage without which a failed run may go on, if there is one."""
    failed = found["failure"]["stage"] if found["failure"] is not None else ""
    refused = (one["target"] for one in found["gates"] if one["name"] == failed and one["state"] == GateState.FAILED)
    stage = next(refused, failed)
    return stage if found["state"] == RunState.FAILED and may_skip(definition, stage) else ""


def _beside(found: RunDetail, standing: Sequence[Row]) -> Mapping[str, Mapping[str, Any]]:
    """By stage and metric, what the version in production has. Of several stages that measure something under one name
    it is the last that says how good a model is.
    """
    last = {name: stage["name"] for stage in found["stages"] for name in stage["metrics"]}
    beside: dict[str, dict[str, Any]] = {}
    for row in standing:
        for name, value in orjson.loads(row["metrics"]).items():
            if name in last:
                held = {"model": row["model"], "version": row["version"], "value": value}
                beside.setdefault(last[name], {})[name] = held
    return beside


def drawing(definition: Mapping[str, Any], triggers: Sequence[str] = ()) -> Drawings:
    """A pipeline as it is drawn; what triggers it, each called `on NAME`, stands before where it begins."""
    gates: dict[tuple[str, str], list[str]] = {}
    for gate in definition.get("gates", ()):
        gates.setdefault((gate["source"], gate["target"]), []).append(gate["name"])
    heard: dict[str, list[str]] = {f"on {name}": [] for name in triggers}
    upstream = {name: needed or list(heard) for name, needed in upstream_of(definition).items()}
    return both(heard | upstream, gates)


def upstream_of(definition: Mapping[str, Any]) -> dict[str, list[str]]:
    """Its stages, in an order in which they may run, each with those it needs."""
    return {one["name"]: [*one["inputs"], *one.get("after", ())] for one in definition.get("stages", ())}


async def definition_of(context: Context, found: RunDetail) -> Mapping[str, Any]:
    """The pipeline as it was in the run's version; without arrows where nobody knows it any more."""
    rows = await context.daemon.reads.fetch("story_definitions", found["pipeline"], [found["version"]])
    if rows:
        definition: Mapping[str, Any] = orjson.loads(rows[0]["definition"])
        return definition
    return {"stages": [_alone(stage) for stage in found["stages"]]}


def _alone(stage: StageShape) -> Mapping[str, Any]:
    return {"name": stage["name"], "inputs": []}


async def logs(context: Context, request: Request) -> Shown:
    """What its stages logged, a page of it; the script goes on from there while the run does."""
    found = await run_called(context, path_id(request, "run", "run"))
    stage, after = request.query_params.get("stage") or None, query_id(request, "after") or 0
    page = await context.logs.page(found["id"], Wanted(stage=stage, item=None, attempt=None), after=after, limit=LINES)
    follow = {"follow": "true", "after": page["lines"][-1]["seq"] if page["lines"] else after}
    more = len(page["lines"]) == LINES
    return Shown(
        "logs.html",
        {"title": f"Logs of run {found['id']}", "run": found, "stage": stage or "", "lines": page["lines"]}
        | {"more": urlencode({**({"stage": stage} if stage else {}), "after": follow["after"]}) if more else ""}
        | {"after": after}
        | {"follow": "" if more else urlencode({**follow, **({"stage": stage} if stage else {})})},
        live=None,
    )
