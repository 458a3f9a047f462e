"""(e) The load of `runs` with no past, and with a million and ten million finished runs behind it, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, summary
from benchmarks.past import make_past
from benchmarks.runs import System, start
from service.db.migrations import migrate

LEVELS = (0, 1_000_000, 10_000_000)
GB = 1e9


async def run(
    levels: Sequence[int], runs: int, rounds: int, in_flight: int, kept: Path | None = None
) -> list[dict[str, Any]]:
    """Measure; the rows of the table, the first level being the limit. Each has a database of its own in one server.

    Those in a folder that is `kept` are made once.
    """
    async with ground(kept) as here, asyncio.TaskGroup() as tasks:
        places = {f"{level:,} finished runs": await _place(here, level) for level in sorted(levels)}
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
