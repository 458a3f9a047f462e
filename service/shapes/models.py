"""What the API answers of models. The shapes of everything else: `service.shapes.answers`."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class ModelSummary(TypedDict):
    """A model: how many versions it has and where its aliases point: `production` and the first by name, up to 100."""

    model: str
    versions: int
    latest: int
    aliases: dict[str, int]


class ModelsAnswer(TypedDict):
    """Registered models, by name. `next` goes into `after` for the next page; null on the last one."""

    models: list[ModelSummary]
    next: str | None


class AliasShape(TypedDict):
    """A name that points at a version."""

    alias: str
    version: int


class AliasesPage(TypedDict):
    """A model's aliases, by name. `next` goes into `after` for the next page; null on the last one."""

    model: str
    aliases: list[AliasShape]
    next: str | None


class VersionShape(TypedDict):
    """A registered version. `artifacts` and `lineage` map a role to a digest."""

    model: str
    version: int
    state: str
    artifacts: dict[str, str]
    metrics: dict[str, float]
    lineage: dict[str, str]
    run_id: int | None
    pipeline: str | None
    created_at: datetime
    aliases: list[str]


class VersionsPage(TypedDict):
    """A model's versions, newest first; `aliases` as in the list of models. `next` goes into `before` for the next
    page; null on the last one.
    """

    model: str
    aliases: dict[str, int]
    versions: list[VersionShape]
    next: int | None


class Prediction(TypedDict):
    """What a model answers: its own fields (such as `predictions`) beside these two."""

    model: str
    version: int
