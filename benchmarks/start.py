"""(h) From nothing to ready: `tidemill up` with its embedded servers, cold and warm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import children, daemon_process, tree_s
from benchmarks.ground import commits_of
from benchmarks.tables import Column, Goal, Table
from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres, embedded_dsn

PIPELINES = {"six no-op stages": "benchmarks.six:six", "the flights example": "examples.flights.pipeline:flights"}
COLUMNS = [
    Column("median_s", "median s", ".2f"),
    Column("fastest_s", "fastest s", ".2f"),
    Column("slowest_s", "slowest s", ".2f"),
    Column("ratio", "ratio", ".1f"),
    Column("cpu_s", "CPU s", ".2f"),
    Column("commits", "commits"),
]
SERVERS, PYTHON = "Postgres and the broker", "Python, and nothing else"
NOTE = "Ratio: to the servers alone, as cold or as warm. CPU: of all processes that were started, until it is ready."


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    pipelines: int = 2


@dataclass(frozen=True, slots=True)
class _Start:
    """What a start took until it was ready."""

    seconds: float
    cpu_s: float
    commits: int = 0


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    found: dict[str, list[_Start]] = {PYTHON: []}
    for _ in range(size.rounds):
        found[PYTHON].append(await _python())
        with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
            fresh = await _written(Path(folder, "fresh"))
            for kind in ("cold", "warm"):
                found.setdefault(f"{SERVERS}, {kind}", []).append(await _servers(Path(folder)))
        for pipeline, place in list(PIPELINES.items())[: size.pipelines]:
            with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
                for kind in ("cold", "warm"):
                    before = fresh if kind == "cold" else await _written(Path(folder, "home"))
                    found.setdefault(f"tidemill up, {kind}: {pipeline}", []).append(
                        await _up(Path(folder), place, before)
                    )
    rows = {name: _row(name, starts) for name, starts in found.items()}
    for name, row in rows.items():
        kind = "cold" if "cold" in name else "warm"
        row["ratio"] = row["median_s"] / rows[f"{SERVERS}, {kind}"]["median_s"]
    return [Table("From the start of the process to ready", COLUMNS, list(rows.values()), [NOTE])]


async def _python() -> _Start:
    begun, used_s = time.perf_counter(), _ended_s()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await process.wait()
    return _Start(time.perf_counter() - begun, _ended_s() - used_s)


async def _servers(folder: Path) -> _Start:
    """Both embedded servers one after the other, as `up` starts them."""
    async with contextlib.AsyncExitStack() as stack:
        begun, used_s = time.perf_counter(), time.process_time() + _ended_s()
        await stack.enter_async_context(EmbeddedPostgres(folder))
        await stack.enter_async_context(EmbeddedKafka(folder))
        seconds = time.perf_counter() - begun
        return _Start(seconds, time.process_time() + _ended_s() + tree_s(*children(os.getpid())) - used_s)


async def _up(folder: Path, pipeline: str, before: int) -> _Start:
    begun = time.perf_counter()
    async with daemon_process(folder, "up", TIDEMILL_PIPELINES=pipeline) as process:
        seconds = time.perf_counter() - begun
        used_s = tree_s(process.pid, *children(process.pid))
        commits = await _commits(embedded_dsn(folder / "home")) - before
        process.terminate()
        await process.communicate()
    return _Start(seconds, used_s, commits)


async def _written(home: Path) -> int:
    """How many transactions the Postgres in `home` has written. It is made where there is none."""
    async with EmbeddedPostgres(home) as dsn:
        return await _commits(dsn)


async def _commits(dsn: str | None) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return await commits_of(connection)
    finally:
        await connection.close()


def _ended_s() -> float:
    """CPU time of all children of this process that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _row(name: str, starts: Sequence[_Start]) -> dict[str, Any]:
    times_s = [one.seconds for one in starts]
    return {
        "name": name,
        "median_s": statistics.median(times_s),
        "fastest_s": min(times_s),
        "slowest_s": max(times_s),
        "cpu_s": statistics.median(one.cpu_s for one in starts),
        "commits": statistics.median(one.commits for one in starts),
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
