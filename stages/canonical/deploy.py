"""Deploy: move an alias to a version, by compare-and-set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from stages.base import StageContext
from stages.canonical.register import RegisteredVersion


class Deployment(BaseModel):
    """Where the alias points after a deployment; `moved` is False when a newer version was there already."""

    model_config = ConfigDict(frozen=True)

    model: str
    alias: str
    version: int
    replaced: int | None
    moved: bool


async def deploy_version(ctx: StageContext, registered: RegisteredVersion, *, alias: str) -> Deployment:
    """Point `alias` at `registered` unless it points at a newer version. Raises `AliasMoved` (transient: try again).

    Safe to repeat. It only moves forward, so that a deployment resumed after a crash cannot undo a later one.
    """
    model, version = registered.model, registered.version
    current = await ctx.registry.alias(model, alias)
    seen = current.version if current else None
    if seen is not None and seen > version:
        ctx.logger.warning("%s %d is not deployed: %s is already at the newer %d", model, version, alias, seen)
        return Deployment(model=model, alias=alias, version=seen, replaced=None, moved=False)
    await ctx.registry.move_alias(model, alias, version, expect=seen)
    return Deployment(model=model, alias=alias, version=version, replaced=seen, moved=True)
