"""A pipeline whose stages behave as their event says: `{"folder": ..., "plan": {"fetch": ["transient", "ok"], ...}}`.

The n-th time a stage is called it does the n-th thing of its list, and the last one from then on. How often it was
called is in a file, because the attempts of a killed daemon count as well.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from stages import Event, Permanent, Pipeline, Retry, StageContext, Transient, stage

MAX_ATTEMPTS = 3
HANG_S = 60.0
quick = Retry(max_attempts=MAX_ATTEMPTS, initial_s=0.05, max_delay_s=0.2)


def behave(event: Event, context: StageContext) -> str:
    """Do what is planned for this call."""
    calls = Path(event.data["folder"]) / f"{context.run_id}-{context.stage}"
    with calls.open("a") as file:
        file.write("x")
        times = file.tell()
    planned = event.data["plan"].get(context.stage, ["ok"])
    match planned[min(times, len(planned)) - 1]:
        case "transient":
            raise Transient("not now")
        case "permanent":
            raise Permanent("never")
        case "hang":
            time.sleep(HANG_S)
        case "exit":
            os._exit(3)
        case "memory":
            bytearray(2_000_000_000)
    return context.stage


@stage(retry=quick, timeout_s=0.5, memory_bytes=500_000_000)
def fetch(event: Event, context: StageContext) -> str:
    return behave(event, context)


@stage(retry=quick, timeout_s=0.5, memory_bytes=500_000_000)
def fit(fetch: str, event: Event, context: StageContext) -> str:
    return behave(event, context)


@stage(reuse="run", retry=quick, timeout_s=0.5, memory_bytes=500_000_000)
def publish(fit: str, event: Event, context: StageContext) -> str:
    return behave(event, context)


rough = Pipeline("rough", [fetch, fit, publish], runner="process")
