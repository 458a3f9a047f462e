"""(a) Six no-op stages a run, through the real inbox and executor, beside the bare group-commit loop."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from benchmarks.bare import SCHEMA, Bare
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, summary
from benchmarks.six import six
from service.app import Daemon
from service.build import open_daemon
from service.catalogue import Catalogue
from service.garbage import settle
from service.settings import Artifacts, Database, Executor, Role, Settings
from triggers.base import Arrival, Offer
from triggers.event import Event, utc_now

BATCH = 50
_numbers = itertools.count()


async def run(runs: int, rounds: int, in_flight: int) -> list[dict[str, Any]]:
    """Measure; the rows of the table."""
    async with ground() as here, asyncio.TaskGroup() as tasks:
        system = await start(here, in_flight, tasks)
        bare = await asyncpg.connect(here.dsn)
        await system.work(min(runs, 500))
        found = await alternate(
            {
                "bare group-commit loop": partial(_bare, here, bare, runs, in_flight),
                "tidemill": lambda: measured(runs, partial(system.work, runs), here.commits),
            },
            rounds,
        )
        await bare.close()
        system.daemon.stop()
    return summary(found, "bare group-commit loop")


async def start(here: Ground, in_flight: int, tasks: asyncio.TaskGroup) -> System:
    """A daemon on this ground, which is ready."""
    daemon = await open_daemon(_settings(here, in_flight), Catalogue({six.name: six}, {}), None)
    ready = asyncio.Event()

    async def started(_: Daemon) -> None:
        ready.set()

    tasks.create_task(daemon.run(started))
    await ready.wait()
    settle()
    return System(daemon, in_flight)


async def _bare(here: Ground, connection: asyncpg.Connection, runs: int, in_flight: int) -> Round:
    await here.execute(SCHEMA)
    return await measured(runs, Bare(connection, runs, in_flight).work, here.commits)


def _settings(here: Ground, in_flight: int) -> Settings:
    return Settings(
        root=here.folder,
        home=here.folder / "home",
        roles=(Role.EXECUTOR,),
        database=Database(url=here.dsn),
        executor=Executor(max_runs=in_flight),
        artifacts=Artifacts(url=(here.folder / "artifacts").as_uri()),
    )


@dataclass(slots=True)
class System:
    """Hands events to the inbox while fewer than `in_flight` runs are under way."""

    daemon: Daemon
    in_flight: int

    async def work(self, runs: int) -> None:
        """Until `runs` more runs have succeeded."""
        executor, news = self.daemon.executor, self.daemon.news
        if executor is None:
            raise RuntimeError("this daemon drives no runs")
        for start in range(0, runs, BATCH):
            arrivals = [_arrival() for _ in range(start, min(start + BATCH, runs))]
            while executor.running + len(arrivals) > self.in_flight:
                await news.changed(news.count)
            await self.daemon.inbox.accept(arrivals)
        while executor.running:
            await news.changed(news.count)


def _arrival() -> Arrival:
    event = Event(source="benchmarks", id=f"{next(_numbers)}", type="benchmark", time=utc_now())
    return Arrival(event, [Offer(six.name, "benchmark")])
