"""A small pipeline for people to walk through: it can fail for a reason that can be mended, and waits for a person."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from stages import Permanent, Pipeline, StageContext, stage
from stages.canonical.deploy import Deployment, deploy_version
from stages.canonical.register import RegisteredVersion, register_version
from stages.gates import approved
from triggers import Cron, Webhook

# Where the walk lays the file that the first stage reads.
FLOUR = "TEST_FLOUR"


@stage(reuse="run")
def ingest(ctx: StageContext) -> list[int]:
    """How much there is in each sack."""
    path = Path(os.environ[FLOUR])
    if not path.exists():
        raise Permanent(f"no flour at {path.name}: lay it there")
    ctx.logger.info("read %s", path.name)
    return [int(line) for line in path.read_text().split()]


@stage
def train(ingest: list[int], ctx: StageContext) -> int:
    """The model is their sum."""
    ctx.record_metrics(**measured(sum(ingest)))
    return sum(ingest)


def measured(total: int) -> dict[str, float]:
    """Some numbers, one with a name as long as they come."""
    return {"sum": total, "mean_absolute_error_minutes": total / 7}


@stage(reuse="run")
async def register(train: int, ctx: StageContext) -> RegisteredVersion:
    """One version for one run."""
    return await register_version(ctx, "bread", model_input="train", metrics=measured(train))


@stage(reuse="run")
async def deploy(register: RegisteredVersion, ctx: StageContext) -> Deployment:
    """Into production."""
    return await deploy_version(ctx, register, alias="production")


@stage(reuse="never")
def sweep() -> pl.DataFrame:
    """What is done every day: a table too wide for any window."""
    return pl.DataFrame({f"grams_swept_in_corner_{corner}": [corner] for corner in range(20)})


bread = Pipeline(
    "bread",
    [ingest, train, register, deploy],
    gates={("register", "deploy"): approved()},
    on=[Webhook("flour", where={"data.kind": "wheat"})],
    serve=lambda model, payload: {"loaves": model * payload["hours"]},
)
daily = Pipeline("daily", [sweep], on=[Cron("0 3 * * *", timezone="UTC")])
named_long = Pipeline(
    "what_is_swept_after_each_of_the_shifts_of_the_bakery",
    [sweep],
    on=[Cron("0 4 * * *", name="an-hour-before-the-doors")],
)
