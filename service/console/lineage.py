"""Where an artifact comes from and what became of it: the event, the stages before and after, models and how
much they answered, further runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from service.api.artifacts import artifact_called
from service.api.context import Context
from service.api.requests import path_id, query_id
from service.api.runs import run_called
from service.console.graph import Upstream
from service.console.look import named
from service.console.page import Shown
from service.console.runs import definition_of, upstream_of
from service.console.upright import both
from service.db.predictions import counts_of
from service.db.views import version_shape
from service.shapes.answers import RunDetail, StageShape
from service.shapes.predictions import VersionUse

# The most further runs, and versions of models, that are drawn.
MOST, LIMIT = 12, 50
EVENT, CAUSE = "event", "cause"


@dataclass(frozen=True, slots=True)
class Node:
    """What is drawn in a box. `look`: as a state; `here`: it is what the page is about."""

    name: str
    below: str
    to: str
    look: str = "plain"
    here: bool = False


async def lineage(context: Context, request: Request) -> Shown:
    """Everything before an artifact and after it."""
    run = await run_called(context, path_id(request, "run", "run"))
    digest, before = request.path_params["digest"], query_id(request, "before")
    stage, ref = await artifact_called(context, run["id"], digest)
    upstream = upstream_of(await definition_of(context, run))
    versions = [version_shape(row) for row in await context.daemon.reads.fetch("story_models", run["id"])]
    others = await context.daemon.reads.fetch("made_elsewhere", digest, run["id"], before, LIMIT)
    nodes, arrows = family(run, upstream, stage, await counts_of(context.daemon.reads, versions[:MOST]))
    values: dict[str, Any] = {
        "title": f"Lineage of the output of {stage}",
        "run": run,
        "stage": stage,
        "ref": ref,
        "nodes": nodes,
        "drawing": both(arrows, {}, {name: (one.name, one.below) for name, one in nodes.items()}),
        "others": others,
        "older": urlencode({"before": others[-1]["run_id"]}) if len(others) == LIMIT else "",
        "later": before is not None,
        "more": max(0, len(run["caused"]) - MOST),
    }
    return Shown("lineage.html", values, live={"run": run["id"]})


def family(
    run: RunDetail, upstream: Upstream, stage: str, versions: Sequence[VersionUse]
) -> tuple[dict[str, Node], dict[str, list[str]]]:
    """What is drawn, by name, and what each needs of it, in an order in which it may have happened."""
    kept = ancestors(upstream, stage) | {stage} | descendants(upstream, stage)
    nodes, arrows = _beginning(run)
    made = {one["name"]: one for one in run["stages"]}
    for name in (one for one in upstream if one in kept):
        nodes[f"stage {name}"] = _stage(run, made.get(name), name, here=name == stage)
        arrows[f"stage {name}"] = [f"stage {one}" for one in upstream[name] if one in kept] or [EVENT]
    _models(nodes, arrows, versions, _makers(run, kept))
    after = {stage, *descendants(upstream, stage)}
    for one in [one for one in run["caused"] if one["stage"] in after or one["stage"] is None][:MOST]:
        key = f"run {one['run']}"
        nodes[key] = Node(f"{one['pipeline']} #{one['run']}", one["state"], f"/runs/{one['run']}", one["state"])
        arrows[key] = [f"stage {one['stage'] or stage}"]
    return nodes, arrows


def _beginning(run: RunDetail) -> tuple[dict[str, Node], dict[str, list[str]]]:
    """The event, and the run that caused it."""
    event, cause = run["event"], run["caused_by"]
    nodes = {EVENT: Node(named(event, run["pipeline"]), run["trigger"], f"/events/{event['key']}")}
    if cause is None:
        return nodes, {EVENT: []}
    first = Node(f"run #{cause['run']}", cause["stage"] or "", f"/runs/{cause['run']}")
    return {CAUSE: first, **nodes}, {CAUSE: [], EVENT: [CAUSE]}


def _stage(run: RunDetail, made: StageShape | None, name: str, *, here: bool) -> Node:
    output = made["output"] if made is not None else None
    if made is None or output is None:
        return Node(name, "nothing made", f"/runs/{run['id']}#stage-{quote(name)}", "pending", here)
    to = f"/runs/{run['id']}/artifacts/{output['digest']}/lineage"
    return Node(name, output["digest"][:10], to, made["state"], here)


def _makers(run: RunDetail, kept: Iterable[str]) -> dict[str, str]:
    """Which stage made each digest."""
    names = set(kept)
    return {
        one["output"]["digest"]: one["name"]
        for one in run["stages"]
        if one["output"] is not None and one["name"] in names
    }


def _models(
    nodes: dict[str, Node], arrows: dict[str, list[str]], versions: Sequence[VersionUse], makers: Mapping[str, str]
) -> None:
    """The versions that hold one of these artifacts."""
    for one in versions:
        sources = [makers[digest] for digest in one["artifacts"].values() if digest in makers]
        if sources:
            key = f"model {one['model']} {one['version']}"
            below = ", ".join(one["aliases"]) or one["state"]
            to = f"/models/{quote(one['model'])}/versions/{one['version']}"
            nodes[key] = Node(f"{one['model']} {one['version']}", below, to, one["state"])
            arrows[key] = [f"stage {name}" for name in dict.fromkeys(sources)]
            if (answered := one["predictions"]["answered"]) > 0:
                told = "1 answer" if answered == 1 else f"{answered:,} answers"
                nodes[f"predictions of {key}"] = Node(told, "predictions", f"{to}#predictions")
                arrows[f"predictions of {key}"] = [key]


def ancestors(upstream: Upstream, stage: str) -> set[str]:
    """Everything a stage needs, directly or not."""
    found: set[str] = set()
    ahead = list(upstream.get(stage, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += upstream.get(name, ())
    return found


def descendants(upstream: Upstream, stage: str) -> set[str]:
    """Everything that needs a stage, directly or not."""
    return {name for name in upstream if stage in ancestors(upstream, name)}
