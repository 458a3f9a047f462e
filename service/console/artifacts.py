"""An artifact as people see it: a table as a table, a document as a document, anything else by what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.artifacts import artifact_called
from service.api.context import Context
from service.api.requests import path_id
from service.api.runs import run_called
from service.console.look import HEADERS, as_json
from service.console.page import Shown
from service.errors import NotFound
from stages.artifacts import ArtifactRef
from stages.codecs.base import Scratch
from stages.errors import ArtifactCorrupted, ArtifactMissing, StoreUnavailable, Undecodable
from stages.values import content, load

MOST_BYTES = 32 * 1024 * 1024
MOST_ROWS, MOST_COLUMNS, MOST_TEXT = 50, 60, 20_000
# How pictures begin that a browser shows and that can hold no script.
IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, as text, and how many rows there are."""

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[str]]
    height: int


async def artifact(context: Context, request: Request) -> Shown:
    """One artifact of a run."""
    run = await run_called(context, path_id(request, "run", "run"))
    digest = request.path_params["digest"]
    stage, ref = await artifact_called(context, run["id"], digest)
    picture = await _picture(context, ref)
    table, text, why = (None, "", "") if picture is not None else await _preview(context, ref)
    values = {"title": f"Output of {stage}", "run": run, "stage": stage, "ref": ref, "picture": picture is not None}
    return Shown("artifact.html", {**values, "table": table, "text": text, "why": why}, live=None)


async def image(context: Context, request: Request) -> Response:
    """A PNG or JPEG that a stage made, as it is. Raises `NotFound` for everything else."""
    digest = request.path_params["digest"]
    _, ref = await artifact_called(context, path_id(request, "run", "run"), digest)
    found = await _picture(context, ref)
    if found is None:
        raise NotFound(f"artifact {digest[:80]!r} is no PNG or JPEG of at most {MOST_BYTES} bytes")
    kind, picture = found
    kept = {"Cache-Control": "private, max-age=86400", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(picture, media_type=kind, headers={**HEADERS, **kept})


async def _picture(context: Context, ref: ArtifactRef) -> tuple[str, bytes] | None:
    """The type and bytes of an artifact that is a picture, told by how it begins."""
    if ref.codec.partition(":")[0] not in ("bytes", "path") or ref.size_bytes > MOST_BYTES:
        return None
    try:
        found = await content(ref, context.daemon.store)
    except (ArtifactMissing, ArtifactCorrupted, StoreUnavailable):
        return None
    kind = next((kind for begin, kind in IMAGES.items() if found.startswith(begin)), None)
    return None if kind is None else (kind, found)


async def _preview(context: Context, ref: ArtifactRef) -> tuple[Table | None, str, str]:
    """A table or a text, or why there is neither."""
    kind = ref.codec.partition(":")[0]
    if kind not in ("json", "parquet"):
        return None, "", f"values stored as {ref.codec} have no preview"
    if ref.size_bytes > MOST_BYTES:
        return None, "", "it is too large for a preview"
    try:
        with Scratch() as scratch:
            value = await load(ref, context.daemon.store, None, scratch)
            if kind == "parquet":
                return await asyncio.to_thread(_table, value), "", ""
    except (ArtifactMissing, ArtifactCorrupted, StoreUnavailable, Undecodable) as error:
        return None, "", str(error)
    text = value if isinstance(value, str) else as_json(value)
    cut = "" if len(text) <= MOST_TEXT else f"the first {MOST_TEXT:,} of {len(text):,} characters"
    return None, text[:MOST_TEXT], cut


def _table(frame: Any) -> Table:
    """The head of a frame of polars, pandas or pyarrow."""
    names = [str(name) for name in getattr(frame, "column_names", None) or frame.columns][:MOST_COLUMNS]
    height = int(getattr(frame, "num_rows", None) or len(frame))
    head = frame.slice(0, MOST_ROWS) if hasattr(frame, "slice") else frame.head(MOST_ROWS)
    columns = [_column(head, name) for name in names]
    kinds = [_kind(frame, name) for name in names]
    rows = [[str(cell)[:200] for cell in row] for row in zip(*columns, strict=True)]
    return Table(list(zip(names, kinds, strict=True)), rows, height)


def _column(head: Any, name: str) -> list[Any]:
    column = head[name]
    return list(column.to_pylist() if hasattr(column, "to_pylist") else column)


def _kind(frame: Any, name: str) -> str:
    column = frame[name]
    return str(getattr(column, "dtype", None) or getattr(column, "type", ""))
