"""The model registry as stages see it: versions with a lifecycle, and aliases moved by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from stages.errors import StageError

Lifecycle = Literal["staging", "production", "archived"]


class AliasMoved(StageError):
    """The alias no longer points where the caller last saw it. Transient: read it again and decide anew."""

    transient = True


class AttemptOver(StageError):
    """An attempt asks for something after it was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A model version to be registered. `artifacts` and `lineage` map a role to an artifact digest."""

    model: str
    artifacts: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    run_id: int | None = None
    pipeline: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A registered version. `version` counts from 1 within a model."""

    model: str
    version: int
    state: Lifecycle
    artifacts: Mapping[str, str]
    metrics: Mapping[str, float]
    lineage: Mapping[str, str]
    run_id: int | None
    pipeline: str | None
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict)


class Registry(Protocol):
    """What a stage may do with models. Every call is safe to repeat with the same idempotency key."""

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """Store a version in state `staging`; the same key returns the version it made first."""

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version an alias points at, or None."""

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """Point `alias` at `version` if it still points at `expect` (None: nowhere). Raises `AliasMoved`.

        Already pointing at `version` is success. Moving `production` sets the version's state to `production` and
        the previous one's to `archived`.
        """


@dataclass(frozen=True, slots=True)
class Fenced:
    """A registry that an attempt loses once it is `over`: nobody waits for it any more, though it may still run."""

    registry: Registry
    over: Callable[[], bool]

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """See `Registry`."""
        return await self._open().register(new, idempotency_key=idempotency_key)

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """See `Registry`."""
        return await self._open().alias(model, alias)

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """See `Registry`."""
        return await self._open().move_alias(model, alias, version, expect=expect)

    def _open(self) -> Registry:
        if self.over():
            raise AttemptOver("this attempt was given up: it was out of time or cancelled, and what it does is dropped")
        return self.registry
