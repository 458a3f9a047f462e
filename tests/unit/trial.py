"""A pipeline for trying single stages."""

from __future__ import annotations

import os
import time

from pydantic import BaseModel

from stages import Event, Permanent, Pipeline, StageContext, Transient, stage


class TrialParams(BaseModel):
    """`fail` says how the first stage ends."""

    rows: int = 3
    fail: str = ""


@stage
def ingest(event: Event, params: TrialParams, ctx: StageContext) -> list[int]:
    """Prints, logs, reports, measures, and fails as told."""
    print("printed by the stage", flush=True)
    os.write(1, b"written by a library\n")
    ctx.mask("the trial's secret")
    ctx.logger.info("reading for %s by the trial's secret", event.id)
    ctx.progress(0.5, "half")
    ctx.record_metrics(rows=params.rows)
    if params.fail == "transient":
        raise Transient("come back later")
    if params.fail == "permanent":
        raise Permanent("never tell the trial's secret")
    return list(range(params.rows))


@stage(timeout_s=0.05)
def features(ingest: list[int], params: TrialParams) -> int:
    """The sum, in time or too late."""
    if params.fail == "slow":
        time.sleep(0.3)
    return sum(ingest)


@stage(reuse="run")
async def register(features: int, ctx: StageContext) -> int:
    """Wants the models of a daemon."""
    version = await ctx.registry.alias("trial", "production")
    return version.version if version else 0


@stage(map="ingest", when=lambda ingest: ingest != 1)
def square(ingest: int, ctx: StageContext) -> int:
    """One of the rows."""
    ctx.record_metrics(place=ctx.item or 0)
    return ingest * ingest


@stage(when=lambda ingest: len(ingest) > 100)
def rarely(ingest: list[int]) -> int:
    """Only for many rows."""
    return len(ingest)


trial = Pipeline("trial", [ingest, features, register, square, rarely])
