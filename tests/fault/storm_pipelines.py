"""Two pipelines that listen to one topic in micro-batches, one of them in order. Each run tells what it was given."""

from __future__ import annotations

import os
from typing import Any

import orjson

from stages import Event, Pipeline, Records, Retry, stage
from triggers import KafkaBatches

TOPIC = os.environ.get("TEST_TOPIC", "topic")
RECORDS = int(os.environ.get("TEST_BATCH", "1000"))
DIARY = os.environ.get("TEST_DIARY", "/dev/null")
patient = Retry(max_attempts=1000, initial_s=0.05, max_delay_s=1.0)


def _sum(batch: Records) -> dict[str, Any]:
    """Which records these were, and what they add up to."""
    return {
        "partition": batch[0].partition,
        "first": batch[0].offset,
        "last": batch[-1].offset,
        "count": len(batch),
        "sum": sum(orjson.loads(one.value or b"{}")["n"] for one in batch),
    }


def _note(what: str, event: Event) -> None:
    """One line, written at once."""
    line = f"{what} {event.data['partition']} {event.data['first_offset']}\n"
    file = os.open(DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@stage(retry=patient)
def fold(batch: Records) -> dict[str, Any]:
    return _sum(batch)


@stage(name="fold", retry=patient)
def fold_in_order(batch: Records, event: Event) -> dict[str, Any]:
    _note("begins", event)
    found = _sum(batch)
    _note("ends", event)
    return found


settings: dict[str, Any] = {"max_records": RECORDS, "max_wait_s": 0.5}
parallel = Pipeline("parallel", [fold], on=[KafkaBatches(TOPIC, **settings)])
ordered = Pipeline("ordered", [fold_in_order], on=[KafkaBatches(TOPIC, mode="ordered", **settings)])
