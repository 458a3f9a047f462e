"""The versions of a pipeline: which there were, and which of them can still be run."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import BEFORE, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, query_limit
from service.db.rows import Row
from service.errors import Conflict, NotFound
from service.shapes.versions import PipelineVersion, PipelineVersions

LATEST = "latest"
DEFAULT = 200
QUERY = {"before": BEFORE, "limit": f"how many, 1 to 1,000; default {DEFAULT}"}
SHORTEST = 4
TOLD = 5
BEFORE_KEPT = "it was loaded before its code was kept, or from a module that no other process can import"


async def versions(context: Context, request: Request) -> Response:
    """A page of all versions that were ever loaded here. Raises `NotFound` for a pipeline that never was."""
    known_only(request, QUERY)
    before, limit = request.query_params.get("before") or None, query_limit(request, DEFAULT)
    return Json(await versions_known(context, request.path_params["pipeline"], before, limit))


async def versions_known(context: Context, name: str, before: str | None, limit: int) -> PipelineVersions:
    """Those that were ever loaded here and are older than `before`, the newest first. Raises `NotFound`."""
    rows = await _recorded(context, name, "", limit, before)
    if not rows and before is None:
        context.daemon.catalogue.pipeline(name)
    following = rows[-1]["version"] if len(rows) == limit else None
    return {"pipeline": name, "versions": [_told(context, name, row) for row in rows], "next": following}


async def meant_version(context: Context, pipeline: str, on: str) -> Row | None:
    """The version to replay on, which is not loaded; None for the one that is.

    Raises `NotFound`, `Problem` (422, 409) or `Conflict`: there is no such version, or no way to run it.
    """
    loaded = context.daemon.catalogue.pipelines.get(pipeline)
    if on == LATEST or (loaded is not None and len(on) >= SHORTEST and loaded.version.startswith(on)):
        context.daemon.catalogue.pipeline(pipeline)
        return None
    if len(on) < SHORTEST:
        raise Problem(422, f"version {on!r} is too short to be told: give at least {SHORTEST} characters of it")
    found = await _recorded(context, pipeline, on, TOLD)
    if not found:
        raise NotFound(await _unknown(context, pipeline, on))
    if len(found) > 1:
        raise Problem(409, f"several versions of {pipeline} begin with {on!r}: {_names(found)}")
    [row] = found
    if row["code"] is None:
        raise Conflict(
            f"the code of {pipeline} {row['version']} is not kept: {row['code_missing'] or BEFORE_KEPT}; "
            f"`tidemill versions {pipeline}` tells which can be replayed on"
        )
    return row


async def _recorded(context: Context, pipeline: str, begins: str, limit: int, before: str | None = None) -> list[Row]:
    return await context.daemon.reads.fetch("pipeline_versions", pipeline, begins, limit, before)


async def _unknown(context: Context, pipeline: str, on: str) -> str:
    known = await _recorded(context, pipeline, "", TOLD)
    if not known:
        return f"no pipeline called {pipeline!r} was ever loaded here"
    return f"{pipeline} has no version {on!r}; its latest are {_names(known)} (tidemill versions {pipeline})"


def _names(rows: list[Row]) -> str:
    return ", ".join(row["version"] for row in rows)


def _told(context: Context, name: str, row: Row) -> PipelineVersion:
    pipeline = context.daemon.catalogue.pipelines.get(name)
    loaded = pipeline is not None and pipeline.version == row["version"]
    kept = row["code"] is not None
    why_not = None if kept else row["code_missing"] or (None if loaded else BEFORE_KEPT)
    return {
        "version": row["version"],
        "first_seen_at": row["first_seen_at"],
        "loaded": loaded,
        "replayable": loaded or kept,
        "why_not": why_not,
        "doubt": row["code_missing"] if kept else None,
        "code_bytes": row["code_bytes"],
        "made_with": orjson.loads(row["made_with"]) if row["made_with"] else {},
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/pipelines/{pipeline}/versions",
        summary="The versions of a pipeline, newest first, and which of them events can be replayed on",
        tag="pipelines",
        handler=versions,
        query=QUERY,
        answers={200: PipelineVersions},
        problems=(404, 422),
    ),
)
