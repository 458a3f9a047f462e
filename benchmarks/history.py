"""(e) The load of `runs` with no past, and with a million and ten million finished runs behind it, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.benchmark import Benchmark
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, rates, summary
from benchmarks.past import make_past
from benchmarks.runs import System, start
from benchmarks.tables import Column, Goal, Table
from service.db.migrations import migrate

GB = 1e9
# Those of docs/operating.md for a Postgres with millions of runs; how much memory it takes, the embedded one knows.
SETTINGS = ("max_wal_size = '8GB'", "checkpoint_timeout = '15min'")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. Databases in the folder `keep` are made once, and stay."""

    few: int = 1_000_000
    many: int = 10_000_000
    runs: int = 20_000
    rounds: int = 3
    in_flight: int = 500
    keep: str = ""


async def run(size: Size) -> Sequence[Table]:
    """Measure, the database without a past being the limit. Each has a database of its own in one server."""
    rows = await _rows((0, size.few, size.many), size.runs, size.rounds, size.in_flight, size.keep)
    table = rates(f"Runs of six stages, {size.in_flight} in flight", "run", rows)
    note = f"All three are databases of one server, which has the settings of docs/operating.md: {', '.join(SETTINGS)}."
    return [replace(table, columns=[*table.columns, Column("size_gb", "database GB", ".1f")], notes=[note])]


async def _rows(levels: Sequence[int], runs: int, rounds: int, in_flight: int, keep: str) -> list[dict[str, Any]]:
    async with ground(Path(keep) if keep else None) as here, asyncio.TaskGroup() as tasks:
        for setting in SETTINGS:
            await here.execute(f"alter system set {setting}")
        await here.execute("select pg_reload_conf()")
        places = {f"{level:,} finished runs": await _place(here, level) for level in levels}
        sizes = {name: await _size_gb(place) for name, place in places.items()}
        systems = {name: await start(place, in_flight, tasks) for name, place in places.items()}
        for system in systems.values():
            await system.work(min(runs, 500))
        contenders = {name: partial(_round, places[name], system, runs) for name, system in systems.items()}
        found = await alternate(contenders, rounds)
        for name, system in systems.items():
            system.daemon.stop()
            await places[name].watcher.close()
    return [{**row, "size_gb": sizes[row["name"]]} for row in summary(found, next(iter(places)))]


async def _place(here: Ground, level: int) -> Ground:
    """A database with so many finished runs. It has its name once it is whole."""
    name = f"past_{level}"
    if not level:
        await here.execute(f"drop database if exists {name}")
    dsn = here.dsn.replace("/tidemill?", f"/{name}?")
    if not await here.watcher.fetchval("select exists (select from pg_database where datname = $1)", name):
        await here.execute(f"drop database if exists making_{name}")
        await here.execute(f"create database making_{name}")
        making = here.dsn.replace("/tidemill?", f"/making_{name}?")
        await migrate(making)
        if level:
            await make_past(making, level)
        await here.execute(f"alter database making_{name} rename to {name}")
    await migrate(dsn)
    return replace(here, dsn=dsn, watcher=await asyncpg.connect(dsn))


async def _round(place: Ground, system: System, runs: int) -> Round:
    return await measured(runs, partial(system.work, runs), place.commits)


async def _size_gb(place: Ground) -> float:
    return float(await place.watcher.fetchval("select pg_database_size(current_database())")) / GB


BENCHMARK = Benchmark(
    order="e",
    says="The load of `runs` with no past, and with millions of finished runs behind it (25 GB of disk).",
    full=Size(),
    quick=Size(few=100, many=1_000, runs=100, rounds=1, in_flight=50),
    measure=run,
    goals=[
        Goal("runs/s at ten million finished runs against none", -1, "ratio", least=0.85, aim=0.95),
    ],
)
