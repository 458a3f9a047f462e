"""What it takes to start a stage in a warm worker process, and to hand it a frame."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.benchmark import Benchmark
from benchmarks.measuring import latencies, percentiles
from benchmarks.tables import Goal, Table
from benchmarks.warm import COLUMNS, warm
from stages.artifacts import ArtifactRef
from stages.call import Call
from stages.outcome import Outcome, Succeeded
from stages.runners.base import Runner, RunnerTools, open_runner
from stages.stores import open_store
from triggers.event import Event, utc_now

FLOAT_BYTES = 8
WARM_UP = 20
MOST_FRAMES = 1_000
_runs = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    times: int = 1_000
    small_kb: int = 100
    large_mb: int = 100
    frames: int = 7


@dataclass(slots=True)
class Told:
    """Seconds from a call to the stage's first line, and to its outcome."""

    first_s: list[float] = field(default_factory=list)
    done_s: list[float] = field(default_factory=list)


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    told: dict[str, Told] = {}
    with TemporaryDirectory(prefix="tidemill-bench-") as name:
        async with _runner("inline", name) as inline, _runner("process", name) as one, _runner("process", name) as two:
            for _ in range(WARM_UP + size.times):
                await _timed(told, "inline, no input", inline, "look")
                await _timed(told, "process, no input", one, "look")
            for size_bytes, what in ((size.small_kb * 10**3, "small"), (size.large_mb * 10**6, "large")):
                for seed in range(WARM_UP if what == "small" else 1, -size.frames, -1):
                    frame = await _frame(one, size_bytes, seed)
                    await _timed(told, f"process, {what} frame made in this worker", one, "take", frame=frame)
                    await _timed(told, f"process, {what} frame made in another", two, "take", frame=frame)
                    await _timed(told, f"process, {what} frame it had before", two, "take", frame=frame)
    what = f"small: {size.small_kb} kB, large: {size.large_mb} MB of numbers."
    return [
        latencies("From the call to the first line of the stage", _rows(told, "first_s"), what),
        latencies("From the call to the outcome", _rows(told, "done_s")),
    ]


@asynccontextmanager
async def _runner(name: str, folder: str) -> AsyncIterator[Runner]:
    """A runner with one worker, on the same artifacts as the others."""
    url = Path(folder, "artifacts").as_uri()
    runner = open_runner(name, RunnerTools(store=open_store(url), store_url=url, threads=1))
    try:
        yield runner
    finally:
        await runner.close()


async def _timed(told: dict[str, Told], what: str, runner: Runner, stage: str, **inputs: ArtifactRef) -> None:
    call = _call(stage, {}, inputs)
    begun = time.perf_counter()
    outcome = await runner.run(warm.plan.stages[stage], call)
    done = time.perf_counter()
    first = orjson.loads(_output(outcome).inline or b"")
    one = told.setdefault(what, Told())
    one.first_s.append(first - begun)
    one.done_s.append(done - begun)


async def _frame(runner: Runner, size_bytes: int, seed: int) -> ArtifactRef:
    """A frame of about so many bytes in memory, unlike that of every other seed."""
    data = {"rows": size_bytes // (COLUMNS * FLOAT_BYTES), "seed": seed + MOST_FRAMES}
    return _output(await runner.run(warm.plan.stages["frame"], _call("frame", data, {})))


def _output(outcome: Outcome) -> ArtifactRef:
    if not isinstance(outcome, Succeeded):
        raise RuntimeError(f"a stage of this benchmark did not succeed: {outcome}")
    return outcome.output


def _call(stage: str, data: dict[str, int], inputs: Mapping[str, ArtifactRef]) -> Call:
    run = next(_runs)
    event = Event(source="benchmarks", id=f"{run}", type="benchmark", time=utc_now(), data=data)
    return Call(
        pipeline=warm.name, stage=stage, run_id=run, attempt=1, idempotency_key=f"{run}", event=event, inputs=inputs
    )


def _rows(told: Mapping[str, Told], kind: str) -> list[dict[str, Any]]:
    """What came while things warmed up is left out."""
    return [percentiles(what, getattr(one, kind)[_warm_up(what) :]) for what, one in told.items()]


def _warm_up(what: str) -> int:
    return 1 if "large" in what else WARM_UP


BENCHMARK = Benchmark(
    order="l",
    says="Starting a stage in a warm worker process, and handing it a frame, from the call on.",
    full=Size(),
    quick=Size(times=2, small_kb=100, large_mb=1, frames=1),
    measure=run,
    goals=[
        Goal("ms to the first line of a stage in a warm worker, p50", "process, no input", "p50_ms", most=2, aim=0.5),
    ],
)
