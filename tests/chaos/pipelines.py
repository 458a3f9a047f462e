"""What the daemons of the chaos run: a pipeline for each way that something can happen. Every stage leaves a trace."""

from __future__ import annotations

import os
import zlib
from typing import Any

import orjson

from stages import Event, Pipeline, Records, Retry, StageContext, Transient, stage
from stages.artifacts import INLINE_LIMIT_BYTES
from stages.gates import approved
from tests.chaos.effects import note
from triggers import Batch, CloudEvents, Every, Files, KafkaArrivals, KafkaBatches, Manual, Webhook

ARRIVALS = os.environ.get("TEST_ARRIVALS", "arrivals")
BATCHES = os.environ.get("TEST_BATCHES", "batches")
NAMES = ("posted", "told", "shared", "arrived", "landed", "ticked", "decided", "batched", "ordered")
# A storm may cost an attempt many tries; none may be the reason that a run fails.
patient = Retry(max_attempts=1000, initial_s=0.05, max_delay_s=1.0)


async def work(event: Event, context: StageContext) -> str:
    """Leave a trace; one first attempt in ten fails after it."""
    await note(context, event.id)
    if context.attempt == 1 and zlib.crc32(context.idempotency_key.encode()) % 10 == 0:
        raise Transient("not this time")
    return event.id


@stage(retry=patient, reuse="run")
async def take(event: Event, context: StageContext) -> str:
    return await work(event, context)


@stage(retry=patient, reuse="run")
async def make(take: str, event: Event, context: StageContext) -> str:
    return (await work(event, context)).ljust(INLINE_LIMIT_BYTES, ".")


@stage(retry=patient, reuse="run")
async def publish(make: str, event: Event, context: StageContext) -> str:
    return await work(event, context)


@stage(name="take", retry=patient, reuse="run")
async def take_all(events: list[Event], event: Event, context: StageContext) -> list[str]:
    await work(event, context)
    return [one.id for one in events]


@stage(retry=patient, reuse="run")
async def fold(batch: Records, event: Event, context: StageContext) -> dict[str, Any]:
    first, last = batch[0].offset, batch[-1].offset
    await note(context, f"{batch[0].partition} {first} begins")
    told = [orjson.loads(one.value or b"{}")["n"] for one in batch]
    await note(context, f"{batch[0].partition} {first} ends")
    return {"partition": batch[0].partition, "first": first, "last": last, "count": len(batch), "sum": sum(told)}


def pipeline(name: str, *on: Any, **more: Any) -> Pipeline:
    """Three stages."""
    return Pipeline(name, [take, make, publish], on=list(on), **more)


posted = pipeline("posted", Webhook("chaos"))
told = pipeline("told", CloudEvents(where={"type": "chaos.told"}))
shared = Pipeline("shared", [take_all], on=[CloudEvents(where={"type": "chaos.shared"}, coalesce=Batch(5, 1.0))])
arrived = pipeline("arrived", KafkaArrivals(ARRIVALS))
landed = pipeline("landed", Files("landing/**/*.csv", complete="rename"))
ticked = pipeline("ticked", Every(1, missed="all"))
decided = pipeline("decided", Manual(), gates={("make", "publish"): approved(by="anybody")})
batched = Pipeline("batched", [fold], on=[KafkaBatches(BATCHES, max_records=200, max_wait_s=0.3)])
ordered = Pipeline("ordered", [fold], on=[KafkaBatches(BATCHES, max_records=200, max_wait_s=0.3, mode="ordered")])
