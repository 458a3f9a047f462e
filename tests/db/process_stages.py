"""Stages that run in worker processes of a daemon."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from stages import Event, Pipeline, Retry, StageContext, stage
from stages.registry import NewVersion

quick = Retry(initial_s=0.01)


@stage
def ingest(event: Event, context: StageContext) -> list[int]:
    print("ingesting")
    return list(range(int(event.data["count"])))


@stage(reuse="run")
async def register(ingest: list[int], context: StageContext) -> int:
    context.record_metrics(count=len(ingest))
    new = NewVersion(model="m", artifacts={"model": context.artifact_digests["ingest"]}, run_id=context.run_id)
    return (await context.registry.register(new, idempotency_key=context.idempotency_key)).version


whole = Pipeline("whole", [ingest, register], runner="process")


@stage(retry=quick)
def dies(event: Event, context: StageContext) -> int:
    if context.attempt <= event.data["deaths"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return context.attempt


dying = Pipeline("dying", [dies], runner="process")


@stage
def sleeps(event: Event) -> None:
    Path(event.data["file"]).write_text(str(os.getpid()))
    time.sleep(60)


sleeping = Pipeline("sleeping", [sleeps], runner="process")


@stage(reuse="run", environment="../contract/requirements-six.lock")
async def enroll(ingest: list[int], context: StageContext) -> str:
    """With packages of its own, and the models of the daemon over HTTP."""
    import six  # type: ignore[import-untyped]

    print("enrolling")
    context.progress(1, "enrolled")
    new = NewVersion(model="m", artifacts={"model": context.artifact_digests["ingest"]}, run_id=context.run_id)
    version = await context.registry.register(new, idempotency_key=context.idempotency_key)
    await context.registry.move_alias("m", "production", version.version, expect=None)
    return f"{six.__version__} {version.version}"


packaged = Pipeline("packaged", [ingest, enroll])
