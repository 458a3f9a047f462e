"""What the API answers of the versions of a pipeline. The shapes of everything else: `service.shapes.answers`."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class PipelineVersion(TypedDict):
    """A version that was loaded at some time. `replayable`: events can be replayed on it, by the code that is `loaded`
    or that was kept (an archive of `code_bytes`). `why_not` says why no code is kept: once it is not loaded, it cannot
    be replayed on. `doubt`: what may be missing in the code that was kept. `made_with`: the packages, by name, beside
    which it was loaded.
    """

    version: str
    first_seen_at: datetime
    loaded: bool
    replayable: bool
    why_not: str | None
    doubt: str | None
    code_bytes: int | None
    made_with: dict[str, str]


class PipelineVersions(TypedDict):
    """The versions of a pipeline, newest first. `next` goes into `before` for the next page; null on the last one."""

    pipeline: str
    versions: list[PipelineVersion]
    next: str | None
