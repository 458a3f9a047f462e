"""Pipelines: which there are and how their runs go; one with its graph, triggers, versions and latest runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
from starlette.requests import Request

from service.api.bodies import StartBody
from service.api.context import Context
from service.api.listings import known_triggers
from service.api.pauses import shape as pause_shape
from service.api.runs import refuse_unknown_pipeline, start_by_hand
from service.api.versions import versions_known
from service.console.page import Done, Form, Shown, further, object_of, who
from service.console.runs import drawing
from service.db.rows import Row
from service.definition import describe

SHOWN, LIMIT, MOST_DRAWN, MOST_PIPELINES, MOST_VERSIONS = 16, 40, 6, 50, 12


async def pipelines(context: Context, request: Request) -> Shown:
    """A page of those that are loaded here, and of those that are only known from their runs."""
    loaded = context.daemon.catalogue.pipelines
    after = request.query_params.get("after") or None
    names = await context.views.pipelines(loaded, after=after, limit=MOST_PIPELINES)
    latest: dict[str, list[Row]] = {name: [] for name in names}
    for row in await context.daemon.reads.fetch("latest_runs", names, SHOWN):
        latest[row["pipeline"]].append(row)
    triggers: dict[str, list[Any]] = {}
    for one in await known_triggers(context):
        triggers.setdefault(one["pipeline"], []).append(one)
    values = {"title": "Pipelines", "names": names, "loaded": loaded, "latest": latest, "triggers": triggers}
    following = names[-1] if len(names) == MOST_PIPELINES else None
    return Shown("pipelines.html", {**values, **further("/pipelines", after, following)})


async def is_loaded(context: Context, request: Request) -> bool:
    """Whether the pipeline of a page is loaded here."""
    return request.path_params["pipeline"] in context.daemon.catalogue.pipelines


async def pipeline(context: Context, request: Request) -> Shown:
    """One pipeline as it is loaded, or as its newest run had it."""
    name = request.path_params["pipeline"]
    page = await context.views.runs(pipeline=name, limit=LIMIT)
    loaded = context.daemon.catalogue.pipelines.get(name)
    if loaded is None:
        await refuse_unknown_pipeline(context, name)
    triggers = [one for one in await known_triggers(context) if one["pipeline"] == name]
    heard = [one["trigger"] for one in triggers[:MOST_DRAWN]]
    version = loaded.version if loaded is not None else page["runs"][0]["version"] if page["runs"] else ""
    definition = describe(loaded) if loaded is not None else await _stored(context, name, version)
    before = request.query_params.get("before") or None
    versions = await versions_known(context, name, before, MOST_VERSIONS)
    pauses = (await context.views.pauses()).by_place
    done = [run for run in page["runs"] if run["finished_at"] is not None and run["duration_s"] is not None]
    values = {
        "title": name,
        "name": name,
        "loaded": loaded is not None,
        "definition": definition,
        "drawing": drawing(definition, heard),
        "gates": {gate["name"]: {**gate, "state": "pending"} for gate in definition.get("gates", ())},
        "triggers": triggers,
        "runs": page["runs"],
        "done": done[::-1],
        "longest_s": max((run["duration_s"] or 0.0 for run in done), default=0.0),
        "versions": versions["versions"],
        "older": urlencode({"before": versions["next"]}) if versions["next"] else "",
        "later": before is not None,
        "paused": pause_shape(pauses[(name, "")]) if (name, "") in pauses else None,
        "once": str(uuid4()),
        "version": version,
    }
    return Shown("pipeline.html", values, live={"pipeline": name})


async def started(context: Context, request: Request, form: Form) -> Done:
    """Start a run by hand: the same event as by `tidemill run`. Sent twice, it is one run."""
    by, session = who(context, request, form)
    body = StartBody(params=object_of(form.get("params", "")), by=by)
    name = form.get("pipeline", "")
    answer, _ = await start_by_hand(context, name, body, form.get("once") or None)
    event = answer["events"][0]
    to = f"/runs/{event['runs'][0]}" if event["runs"] else f"/events/{event['key']}"
    return Done(to, f"{by} has started {name}.", session)


async def _stored(context: Context, name: str, version: str) -> Mapping[str, Any]:
    rows: Sequence[Row] = await context.daemon.reads.fetch("story_definitions", name, [version])
    definition: Mapping[str, Any] = orjson.loads(rows[0]["definition"]) if rows else {}
    return definition
