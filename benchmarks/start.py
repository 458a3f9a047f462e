"""(h) From nothing to ready: `tidemill up` with its embedded servers, cold and warm."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import daemon_process
from benchmarks.tables import Column, Goal, Table
from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres

PIPELINES = {"six no-op stages": "benchmarks.six:six", "the flights example": "examples.flights.pipeline:flights"}
COLUMNS = [Column("median_s", "median s", ".2f"), Column("fastest_s", "fastest s", ".2f")]
COLUMNS += [Column("slowest_s", "slowest s", ".2f")]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    pipelines: int = 2


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    found: dict[str, list[float]] = {"Python, and nothing else": []}
    for _ in range(size.rounds):
        found["Python, and nothing else"].append(await _python())
        with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
            for kind in ("cold", "warm"):
                found.setdefault(f"Postgres and the broker, {kind}", []).append(await _servers(Path(folder)))
        for pipeline, place in list(PIPELINES.items())[: size.pipelines]:
            with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
                for kind in ("cold", "warm"):
                    found.setdefault(f"tidemill up, {kind}: {pipeline}", []).append(await _up(Path(folder), place))
    return [Table("From the start of the process to ready", COLUMNS, [_row(*one) for one in found.items()])]


async def _python() -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await process.wait()
    return time.perf_counter() - begun


async def _servers(folder: Path) -> float:
    """Both embedded servers one after the other, as `up` starts them."""
    async with contextlib.AsyncExitStack() as stack:
        begun = time.perf_counter()
        await stack.enter_async_context(EmbeddedPostgres(folder))
        await stack.enter_async_context(EmbeddedKafka(folder))
        return time.perf_counter() - begun


async def _up(folder: Path, pipeline: str) -> float:
    begun = time.perf_counter()
    async with daemon_process(folder, "up", TIDEMILL_PIPELINES=pipeline) as process:
        seconds = time.perf_counter() - begun
        process.terminate()
        await process.communicate()
    return seconds


def _row(name: str, times_s: Sequence[float]) -> dict[str, Any]:
    return {
        "name": name,
        "median_s": statistics.median(times_s),
        "fastest_s": min(times_s),
        "slowest_s": max(times_s),
        "times_s": times_s,
    }


BENCHMARK = Benchmark(
    order="h",
    says="From the start of `tidemill up` to ready, embedded servers included. Cold: its folder is empty.",
    full=Size(),
    quick=Size(rounds=1, pipelines=1),
    measure=run,
    goals=[
        Goal("warm start", "tidemill up, warm: six no-op stages", "median_s", most=4, aim=2, unit=" s"),
    ],
)
