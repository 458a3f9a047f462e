"""Six stages that tell of every start in a file, and wait there while they are told to hold."""

from __future__ import annotations

import time
from pathlib import Path

from stages import Event, Pipeline, StageContext, stage


def note(event: Event, context: StageContext) -> str:
    """Write down that this stage started; hold while the file `hold` names it."""
    folder = Path(event.data["folder"])
    with (folder / "started").open("a") as started:
        started.write(f"{context.stage} {context.run_id} {context.attempt} {context.idempotency_key}\n")
    hold = folder / "hold"
    while hold.read_text() == context.stage:
        time.sleep(0.01)
    return context.stage


@stage
def ingest(event: Event, context: StageContext) -> str:
    return note(event, context)


@stage
def features(ingest: str, event: Event, context: StageContext) -> str:
    return ingest + " " + note(event, context)


@stage
def train(features: str, event: Event, context: StageContext) -> str:
    return features + " " + note(event, context)


@stage
def evaluate(train: str, event: Event, context: StageContext) -> str:
    return train + " " + note(event, context)


@stage(reuse="run")
def register(evaluate: str, event: Event, context: StageContext) -> str:
    return evaluate + " " + note(event, context)


@stage(reuse="run")
def deploy(register: str, event: Event, context: StageContext) -> str:
    return register + " " + note(event, context)


six = Pipeline("six", [ingest, features, train, evaluate, register, deploy])
