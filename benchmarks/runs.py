"""(a) Six no-op stages a run, through the real inbox and executor, beside the bare group-commit loop."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg

from benchmarks.bare import SCHEMA, Bare
from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, rates, summary, until
from benchmarks.pgbench import MOST_CLIENTS, inserts_per_s
from benchmarks.six import six
from benchmarks.tables import Column, Goal, Table
from service.app import Daemon
from service.loops.executor import Executor
from service.settings import Role
from triggers.base import Arrival, Offer
from triggers.event import Event, utc_now

BATCH = 50
LIMIT = "bare group-commit loop"
# Of no event in a database that was kept from an earlier time.
_numbers = itertools.count(time.time_ns())


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    runs: int = 20_000
    rounds: int = 5
    in_flight: int = 500
    pgbench_s: int = 5


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, asyncio.TaskGroup() as tasks:
        bare = await asyncpg.connect(here.dsn)
        system = await start(here, size.in_flight, tasks)
        await system.work(min(size.runs, 500))
        ours = partial(measured, size.runs, partial(system.work, size.runs), here.commits)
        found = await alternate({LIMIT: partial(_bare, here, bare, size), "tidemill": ours}, size.rounds)
        await bare.close()
        system.daemon.stop()
        inserts = [await inserts_per_s(here, size.in_flight, size.pgbench_s) for _ in range(min(size.rounds, 3))]
    clients = min(size.in_flight, MOST_CLIENTS)
    row = {"name": f"pgbench, {clients} clients", "per_s": statistics.median(inserts)}
    return [
        rates(f"Runs of six stages, {size.in_flight} in flight", "run", summary(found, LIMIT)),
        Table("Rows inserted one by one, each durable", [Column("per_s", "rows/s")], [row]),
    ]


async def start(here: Ground, in_flight: int, tasks: asyncio.TaskGroup) -> System:
    """A daemon that drives the runs of `six`."""
    settings = here_settings(here, Role.EXECUTOR, max_runs=in_flight)
    return System(await start_daemon(settings, [six], tasks), in_flight)


async def _bare(here: Ground, connection: asyncpg.Connection, size: Size) -> Round:
    await here.execute(SCHEMA)
    return await measured(size.runs, Bare(connection, size.runs, size.in_flight).work, here.commits)


@dataclass(slots=True)
class System:
    """Hands events to the inbox while fewer than `in_flight` of the runs it asked for have not ended.

    It does not wait for one batch to be durable before it hands over the next: as many are in flight as is said.
    """

    daemon: Daemon
    in_flight: int

    async def work(self, runs: int) -> None:
        """Until `runs` more runs have succeeded."""
        executor = self.daemon.executor
        if executor is None:
            raise RuntimeError("this daemon drives no runs")
        batch, before = min(BATCH, self.in_flight), executor.ended
        async with asyncio.TaskGroup() as tasks:
            for given in range(0, runs, batch):
                arrivals = [arrival() for _ in range(given, min(given + batch, runs))]
                least = before + given - self.in_flight + batch
                await until(partial(_reached, executor, least))
                tasks.create_task(self._give(arrivals))
        await until(partial(_reached, executor, before + runs))

    async def _give(self, arrivals: Sequence[Arrival]) -> None:
        await self.daemon.inbox.accept(arrivals)


def _reached(executor: Executor, ended: int) -> bool:
    return executor.ended >= ended


def arrival() -> Arrival:
    """A new event for the pipeline of six stages."""
    number = next(_numbers)
    event = Event(source="benchmarks", id=f"{number}", type="benchmark", time=utc_now(), data={"number": number})
    return Arrival(event, [Offer(six.name, "benchmark")])


BENCHMARK = Benchmark(
    order="a",
    says="Runs of six stages that do nothing, through the real inbox and executor, beside a bare group-commit loop.",
    full=Size(),
    quick=Size(runs=200, rounds=1, in_flight=50, pgbench_s=1),
    measure=run,
    goals=[
        Goal("runs/s against the bare loop", "tidemill", "ratio", least=0.25, aim=0.5),
        Goal("commits a run under load", "tidemill", "commits", most=0.2, aim=0.05),
    ],
)
