"""Artifacts: what is known of one, its bytes, and where else it was made or used."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Content, Endpoint
from service.api.requests import known_only, path_id, query_id, query_limit
from service.db.predictions import counts_of
from service.db.views import version_shape
from service.errors import NotFound
from service.shapes.artifacts import ArtifactDetail, LineagePage
from stages.artifacts import ArtifactRef
from stages.values import content

# What is larger goes by way of a file.
IN_MEMORY_BYTES = 1 << 20
# The digest says all of the bytes: what has them once need not ask again. Whatever they are, no page of ours runs them.
FOR_EVER = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}
PAGE = {"before": BEFORE, "limit": LIMIT}
PATH = "/api/v1/runs/{run}/artifacts/{digest}"
MEDIA_TYPES = {"json": "application/json", "parquet": "application/vnd.apache.parquet"}


async def artifact_called(context: Context, run_id: int, digest: str) -> tuple[str, ArtifactRef]:
    """The stage of the run that made it, and how to read it. Raises `NotFound`."""
    found = await context.views.artifact(run_id, digest)
    if found is None:
        raise NotFound(f"run {run_id} has no artifact {digest[:80]!r}")
    return found


async def _meant(context: Context, request: Request) -> tuple[int, str, ArtifactRef]:
    run_id = path_id(request, "run", "run")
    return run_id, *await artifact_called(context, run_id, request.path_params["digest"])


async def show(context: Context, request: Request) -> Response:
    """What is known of it."""
    run_id, stage, ref = await _meant(context, request)
    answer: ArtifactDetail = {
        "run": run_id,
        "stage": stage,
        "digest": ref.digest,
        "codec": ref.codec,
        "size_bytes": ref.size_bytes,
    }
    return Json(answer)


async def read(context: Context, request: Request) -> Response:
    """Its bytes, checked against the digest."""
    _, _, ref = await _meant(context, request)
    media_type = MEDIA_TYPES.get(ref.codec.partition(":")[0], "application/octet-stream")
    headers = {**FOR_EVER, "ETag": f'"{ref.digest}"'}
    if ref.inline is not None or ref.size_bytes <= IN_MEMORY_BYTES:
        return Response(await content(ref, context.daemon.store), media_type=media_type, headers=headers)
    folder = tempfile.TemporaryDirectory(prefix="tidemill-answer-")
    try:
        path = Path(folder.name) / "artifact"
        await context.daemon.store.fetch_file(ref.digest, path)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, media_type=media_type, headers=headers, background=BackgroundTask(folder.cleanup))


async def lineage(context: Context, request: Request) -> Response:
    """What it came of and what became of it: in this run, in models, and in other runs, a page of them."""
    known_only(request, PAGE)
    before, limit = query_id(request, "before"), query_limit(request)
    run_id, stage, ref = await _meant(context, request)
    reads = context.daemon.reads
    versions = [version_shape(row) for row in await reads.fetch("story_models", run_id)]
    others = await reads.fetch("made_elsewhere", ref.digest, run_id, before, limit)
    held = [one for one in versions if ref.digest in (*one["artifacts"].values(), *one["lineage"].values())]
    answer: LineagePage = {
        "run": run_id,
        "stage": stage,
        "digest": ref.digest,
        "models": await counts_of(reads, held),
        "others": [
            {name: row[name] for name in ("pipeline", "stage", "state", "reused_run", "started_at")}  # type: ignore[misc]
            | {"run": row["run_id"]}
            for row in others
        ],
        "next": others[-1]["run_id"] if len(others) == limit else None,
    }
    return Json(answer)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="An artifact of a run: the stage that made it, its codec and size",
        tag="runs",
        handler=show,
        answers={200: ArtifactDetail},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/content",
        summary="The bytes of an artifact, as they were stored; they never change",
        tag="runs",
        handler=read,
        answers={200: Content(media_type="*/*", schema={})},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/lineage",
        summary="Where else an artifact was made or used again, and the models it is in",
        tag="runs",
        handler=lineage,
        query=PAGE,
        answers={200: LineagePage},
        problems=(404, 422),
    ),
)
