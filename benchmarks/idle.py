"""(g) What a daemon costs that has nothing to do, with a hundred pipelines and a thousand triggers loaded."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import children, cpu_s, daemon_process, memory_mb, resident_mb
from benchmarks.ground import commits_of
from benchmarks.many import PIPELINES
from benchmarks.tables import Column, Goal, Table
from service.embedded.postgres import embedded_dsn

COLUMNS = [
    Column("core", "% of a core", ".2f"),
    Column("resident_mb", "MB resident"),
    Column("memory_mb", "MB of its own"),
    Column("commits", "commits/s", ".2f"),
]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. Figures are taken once the daemon has been ready for `settle_s`."""

    pipelines: int = 100
    seconds: int = 60
    settle_s: int = 10


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    names = list(PIPELINES)[: size.pipelines]
    triggers = sum(len(PIPELINES[name].on) for name in names)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        for pipeline in names:
            (folder / "landing" / pipeline).mkdir(parents=True)
        loaded = ",".join(f"benchmarks.many:{one}" for one in names)
        async with daemon_process(folder, "up", TIDEMILL_PIPELINES=loaded) as process:
            await asyncio.sleep(size.settle_s)
            connection = await asyncpg.connect(embedded_dsn(folder / "home"))
            before = await commits_of(connection)
            rows = await _watch(process.pid, size.seconds)
            rows[0]["commits"] = (await commits_of(connection) - before) / size.seconds
            await connection.close()
            process.terminate()
            await process.communicate()
    title = f"{len(names)} pipelines, {triggers} triggers, {size.seconds} s"
    return [Table(title, COLUMNS, rows, ["Of its own: a page that two processes share counts half in each."])]


async def _watch(daemon: int, seconds: int) -> list[dict[str, Any]]:
    """What the daemon used, and what those below it did that were there all the time."""
    before = {pid: cpu_s([pid]) for pid in (daemon, *children(daemon))}
    await asyncio.sleep(seconds)
    parts = {"the daemon": [daemon]}
    for pid, kind in sorted(children(daemon).items(), key=lambda one: one[1]):
        if pid in before:
            parts.setdefault(f"below it: {kind}", []).append(pid)
    return [
        {
            "name": part,
            "core": (cpu_s(pids) - sum(before[pid] for pid in pids)) / seconds * 100,
            "resident_mb": sum(resident_mb(pid) for pid in pids),
            "memory_mb": sum(memory_mb(pid) for pid in pids),
            "processes": len(pids),
        }
        for part, pids in parts.items()
    ]


BENCHMARK = Benchmark(
    order="g",
    says="What a daemon costs that has nothing to do. Its embedded servers and warm worker stand apart.",
    full=Size(),
    quick=Size(pipelines=2, seconds=1, settle_s=0),
    measure=run,
    goals=[
        Goal("CPU", "the daemon", "core", most=2, aim=0.5, unit=" %"),
        Goal("memory", "the daemon", "resident_mb", most=150, aim=100, unit=" MB"),
    ],
)
