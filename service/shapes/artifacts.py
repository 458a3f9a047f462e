"""What the API answers of artifacts."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict

from service.shapes.predictions import VersionUse


class ArtifactDetail(TypedDict):
    """An artifact of a run, by the digest of its bytes (BLAKE2b-256)."""

    run: int
    stage: str
    digest: str
    codec: str
    size_bytes: int


class UseShape(TypedDict):
    """A run that made the same artifact, or used that of `reused_run` again."""

    run: int
    pipeline: str
    stage: str
    state: str
    reused_run: int | None
    started_at: datetime


class LineagePage(TypedDict):
    """An artifact outside its stage. `models` are the versions it is in, with how much they were asked; `others` are
    other runs, newest first: `next` goes into `before` for more.
    """

    run: int
    stage: str
    digest: str
    models: list[VersionUse]
    others: list[UseShape]
    next: int | None
