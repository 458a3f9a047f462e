"""Register: one version in the registry for one run, with pointers to everything it was made of."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from stages.base import StageContext
from stages.registry import NewVersion

MODEL_ROLE = "model"


class RegisteredVersion(BaseModel):
    """The version a run registered."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    state: str


async def register_version(
    ctx: StageContext, model: str, *, model_input: str, metrics: Mapping[str, float]
) -> RegisteredVersion:
    """Register the artifact that came in as `model_input`, with every input of the calling stage as its lineage.

    Safe to repeat: the run's idempotency key returns the version made first.
    """
    digests = dict(ctx.artifact_digests)
    new = NewVersion(
        model=model,
        artifacts={MODEL_ROLE: digests[model_input]},
        metrics=dict(metrics),
        lineage=digests,
        run_id=ctx.run_id,
        pipeline=ctx.pipeline,
    )
    made = await ctx.registry.register(new, idempotency_key=ctx.idempotency_key)
    return RegisteredVersion(model=made.model, version=made.version, state=made.state)
